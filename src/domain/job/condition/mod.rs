//! Conditions on the cells of a row: `p_malignant > 0.9 and label = malignant`.

mod parse;

use std::cmp::Ordering;

use parse::{ParsedComparison, Value};

use crate::{
    codec::{
        canonical::{Zeros, append_cell},
        cql_type::CqlType,
        literal,
        schema::Column,
    },
    domain::{evidence::comparison::columns::number, names::nearest, problem::Problem},
};

/// One comparison; a null cell never satisfies it.
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

fn wrong((message, help): (String, String)) -> Problem {
    Problem::new("export.where", message)
        .at("--where")
        .help(help)
}

impl Condition {
    /// Parses comparisons joined by `and`: column, operator, and a CQL literal. Quotes are optional
    /// for a value without spaces.
    ///
    /// # Errors
    /// The part that cannot be parsed, with the available columns.
    pub fn parse_all(text: &str, columns: &[Column]) -> Result<Vec<Self>, Problem> {
        let mut rest = text;
        let mut conditions = Vec::new();
        loop {
            let ParsedComparison {
                column,
                operator,
                value,
                after,
            } = parse::comparison(rest).map_err(wrong)?;
            conditions.push(Self::new(column, operator, value, columns)?);
            match parse::conjunction(after).map_err(wrong)? {
                Some(next) => rest = next,
                None => return Ok(conditions),
            }
        }
    }

    fn new(
        name: &str,
        operator: Operator,
        value: Value<'_>,
        columns: &[Column],
    ) -> Result<Self, Problem> {
        let position = columns.iter().position(|column| column.name == name);
        let Some(column) = position else {
            let near = nearest(name, columns.iter().map(|column| column.name.as_str()));
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            let problem = Problem::new("export.where", format!("column `{name}` not found"));
            return Err(problem.at("--where").help(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("choose from {}", names.join(", ")),
            }));
        };
        let cql_type = &columns[column].cql_type;
        let ordered = !matches!(operator, Operator::Equal | Operator::Unequal);
        if ordered && !is_ordered(cql_type) {
            return Err(wrong((
                format!("values of type {cql_type} cannot be ordered"),
                "use = or !=; only numbers, timestamps and texts can be ordered".to_owned(),
            )));
        }
        if matches!(value, Value::Bare(word) if word.eq_ignore_ascii_case("null")) {
            return Err(wrong((
                format!("`{name}` is compared with null, but a null cell satisfies no comparison"),
                "write 'null' for the text".to_owned(),
            )));
        }
        let plain = value.plain();
        let value = literal::from_text(cql_type, &plain).map_err(|error| {
            let message = format!("`{name}`: {error}");
            Problem::new("export.where", message).at("--where")
        })?;
        Ok(Self {
            column,
            operator,
            value,
        })
    }

    /// Returns whether a row satisfies the condition; `cells` are those of the columns.
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

/// Returns whether [`compare`] orders values of the type.
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

/// Returns the order of two values; for unordered types only whether they are equal. NaN has none.
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
            let integer = crate::codec::canonical::integer;
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
            "id = -7\nand\tp>0",
            "id = -7   and\r\n  \"label\" = 'it''s and'",
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
            "label =",
            "label = 'a",
            "label = it's",
            "label = \"a\"",
            "label == a",
            "label <> a",
            "label = null",
            "label = 'a'and id = 1",
            "label is null",
            "label in ('a', 'b')",
        ] {
            assert!(Condition::parse_all(text, &columns()).is_err(), "{text}");
        }
    }

    /// Each of these once was one long text, which no row holds: an empty file and exit code 0.
    #[test]
    fn a_condition_never_selects_nothing_because_it_was_misread() {
        for (text, message) in [
            ("label = a or label = b", "`or` is not supported"),
            ("label = a\nor label = b", "`or` is not supported"),
            ("label = a OR id = 1", "`or` is not supported"),
            ("label = New York", "unexpected `York`"),
            ("label = a, b", "unexpected `b`"),
            ("label = a && id = 1", "unexpected `&&`"),
        ] {
            let problem = Condition::parse_all(text, &columns()).unwrap_err();
            assert!(problem.message.contains(message), "{text}: {problem}");
            assert!(problem.help.is_some());
        }
        for text in [
            "label = a\nand id = 1",
            "label = a\tand\tid = 1",
            "label = a  and  id = 1",
        ] {
            let conditions = Condition::parse_all(text, &columns()).unwrap();
            assert_eq!(conditions.len(), 2, "{text}");
        }
    }
}
