//! Conditions on the cells of a row: `p_malignant > 0.9 and label = malignant`.

use std::cmp::Ordering;

use super::{
    canonical::{Zeros, append_cell},
    comparison::columns::number,
    cql_type::CqlType,
    literal,
    problem::Problem,
    schema::Column,
    words::nearest,
};

/// One comparison; a null cell meets none.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Index into the columns.
    column: usize,
    operator: Operator,
    value: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Equal,
    Unequal,
    AtLeast,
    Greater,
}

/// The longer ones first.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("!=", Operator::Unequal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
];

impl Condition {
    /// Reads comparisons joined by `and`: column, operator, and a CQL literal, whose quotes may be
    /// left out.
    ///
    /// # Errors
    /// What can't be read, with the columns there are.
    pub fn parse_all(text: &str, columns: &[Column]) -> Result<Vec<Self>, Problem> {
        let lower = text.to_ascii_lowercase();
        let mut parts = Vec::new();
        let mut from = 0;
        for (at, word) in lower.match_indices(" and ") {
            // Not within quotes.
            if text[..at].matches('\'').count().is_multiple_of(2) {
                parts.push(&text[from..at]);
                from = at + word.len();
            }
        }
        parts.push(&text[from..]);
        parts
            .into_iter()
            .map(|part| Self::parse(part, columns))
            .collect()
    }

    fn parse(text: &str, columns: &[Column]) -> Result<Self, Problem> {
        let wrong = |message: String| Problem::new("export.where", message).at("--where");
        let at = text.find(['<', '>', '=', '!']);
        let found = at.and_then(|at| {
            let mut known = OPERATORS.iter();
            let (word, operator) = known.find(|(word, _)| text[at..].starts_with(word))?;
            Some((text[..at].trim(), *operator, text[at + word.len()..].trim()))
        });
        let Some((name, operator, value)) = found else {
            return Err(wrong(format!("`{text}` is no comparison"))
                .help("such as: p_malignant > 0.9 and label = malignant"));
        };
        let position = columns.iter().position(|column| column.name == name);
        let Some(column) = position else {
            let near = nearest(name, columns.iter().map(|column| column.name.as_str()));
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(
                wrong(format!("there is no column `{name}`")).help(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", names.join(", ")),
                }),
            );
        };
        let cql_type = &columns[column].cql_type;
        let ordered = !matches!(operator, Operator::Equal | Operator::Unequal);
        if ordered && !is_ordered(cql_type) {
            return Err(
                wrong(format!("values of type {cql_type} have no order here"))
                    .help("numbers, timestamps and texts have; = and != work for all"),
            );
        }
        let plain = value
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''))
            .map_or(value.to_owned(), |value| value.replace("''", "'"));
        let value = literal::from_text(cql_type, &plain)
            .map_err(|error| wrong(format!("`{name}`: {error}")))?;
        Ok(Self {
            column,
            operator,
            value,
        })
    }

    /// Whether a row meets it; `cells` are those of the columns.
    pub fn is_met<'a>(
        &self,
        columns: &[Column],
        mut cell: impl FnMut(usize) -> Option<&'a [u8]>,
    ) -> bool {
        let cql_type = &columns[self.column].cql_type;
        let Some(cell) = cell(self.column) else {
            return false;
        };
        let order = compare(cql_type, cell, &self.value);
        match self.operator {
            Operator::Less => order == Some(Ordering::Less),
            Operator::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::Unequal => order != Some(Ordering::Equal),
            Operator::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
        }
    }
}

/// Whether [`compare`] orders values of the type.
pub fn is_ordered(cql_type: &CqlType) -> bool {
    matches!(
        cql_type.thawed(),
        CqlType::Float
            | CqlType::Double
            | CqlType::Tinyint
            | CqlType::Smallint
            | CqlType::Int
            | CqlType::Bigint
            | CqlType::Timestamp
            | CqlType::Text
            | CqlType::Ascii
    )
}

/// The order of two values; of types without one, only whether they are equal. NaN has none.
pub fn compare(cql_type: &CqlType, a: &[u8], b: &[u8]) -> Option<Ordering> {
    match cql_type.thawed() {
        CqlType::Float | CqlType::Double => {
            number(cql_type, Some(a))?.partial_cmp(&number(cql_type, Some(b))?)
        }
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Timestamp => {
            let integer = super::canonical::integer;
            Some(integer(a)?.cmp(&integer(b)?))
        }
        CqlType::Text | CqlType::Ascii => Some(a.cmp(b)),
        _ => {
            let canonical = |cell| {
                let mut bytes = Vec::new();
                append_cell(cql_type, Some(cell), Zeros::Equal, &mut bytes);
                bytes
            };
            (canonical(a) == canonical(b)).then_some(Ordering::Equal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        [
            ("id", CqlType::Int),
            ("label", CqlType::Text),
            ("p", CqlType::Float),
            ("ok", CqlType::Boolean),
        ]
        .map(|(name, cql_type)| Column {
            name: name.to_owned(),
            cql_type,
        })
        .to_vec()
    }

    fn met(text: &str) -> bool {
        let cells = [
            Some((-7_i32).to_be_bytes().to_vec()),
            Some(b"it's and".to_vec()),
            Some(0.9_f32.to_be_bytes().to_vec()),
            None,
        ];
        let conditions = Condition::parse_all(text, &columns()).unwrap();
        conditions
            .iter()
            .all(|condition| condition.is_met(&columns(), |at| cells[at].as_deref()))
    }

    #[test]
    fn comparisons_are_of_values() {
        for text in [
            "p >= 0.9",
            "p<1",
            "id > -8 AND id<-6",
            "label = 'it''s and' and id = -7",
            "label != x",
        ] {
            assert!(met(text), "{text}");
        }
        for text in [
            "p > 0.9",
            "id > 0",
            "label = it",
            "ok = true",
            "ok != true",
            "p > NaN",
            "p < NaN",
        ] {
            assert!(!met(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_comparison_is_told() {
        for text in [
            "p",
            "q > 1",
            "p > high",
            "ok < true",
            "",
            "p ! 1",
            "p > 1 and",
        ] {
            assert!(Condition::parse_all(text, &columns()).is_err(), "{text}");
        }
    }
}
