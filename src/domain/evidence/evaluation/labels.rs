//! Labels: cells read as classes or numbers.

use std::collections::BTreeMap;

use crate::{
    codec::{cql_type::CqlType, literal},
    domain::problem::Problem,
};

use super::partial::Truth;

/// Rules for reading label texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wording {
    /// Label text -> class.
    pub map: BTreeMap<String, String>,
    /// Class of a row without a label; `None`: its label is not known yet.
    pub missing: Option<String>,
}

/// Kind of the labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// The positive class and all other classes.
    Positive {
        positive: String,
        /// All classes that may occur.
        classes: Vec<String>,
    },
    /// One of these classes.
    Classes(Vec<String>),
    /// A number.
    Number,
}

/// Reads the cells of one column.
#[derive(Debug, Clone)]
pub struct Labels {
    cql_type: CqlType,
    wording: Wording,
    meaning: Meaning,
    missing: Option<Truth>,
}

/// The label in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// No label yet.
    Missing,
    /// The true class or number.
    Truth(Truth),
    /// A class that no model knows, or a number that is not finite.
    Unexpected(String),
}

impl Labels {
    /// Checks the rules against the column's type and the classes.
    ///
    /// # Errors
    /// A column whose type can't hold such labels; a class that no model knows on the right of the
    /// map or as the missing label.
    pub fn new(cql_type: &CqlType, wording: Wording, meaning: Meaning) -> Result<Self, Problem> {
        let thawed = cql_type.thawed();
        let scalar = matches!(
            thawed,
            CqlType::Ascii
                | CqlType::Text
                | CqlType::Boolean
                | CqlType::Tinyint
                | CqlType::Smallint
                | CqlType::Int
                | CqlType::Bigint
                | CqlType::Varint
        );
        let number = matches!(thawed, CqlType::Float | CqlType::Double | CqlType::Decimal);
        let fits = match meaning {
            Meaning::Number => {
                (scalar || number) && !matches!(thawed, CqlType::Boolean) || is_text(thawed)
            }
            // 1.0 and 1 are other texts: classes by floats would be guesses.
            _ => scalar,
        };
        if !fits {
            let what = match meaning {
                Meaning::Number => "numbers",
                _ => "classes",
            };
            let message = format!("labels of type {cql_type} cannot be {what}");
            return Err(Problem::new("labels.type", message)
                .at("labels")
                .help("use text, integers or boolean for classes, a numeric type for numbers"));
        }
        let mut labels = Self {
            cql_type: thawed.clone(),
            missing: None,
            meaning,
            wording,
        };
        for class in labels.wording.map.values() {
            labels.check(class, "label-map")?;
        }
        if let Some(missing) = &labels.wording.missing {
            let missing = labels.class(missing);
            labels.missing = Some(labels.check(missing, "missing-label")?);
        }
        Ok(labels)
    }

    fn check(&self, class: &str, place: &str) -> Result<Truth, Problem> {
        self.truth(class).ok_or_else(|| {
            let message = match &self.meaning {
                Meaning::Number => format!("`{class}` is not a number"),
                _ => format!("no version has class `{class}`"),
            };
            let problem = Problem::new("labels.unknown_class", message).at(place);
            match &self.meaning {
                Meaning::Number => problem,
                Meaning::Positive { classes, .. } | Meaning::Classes(classes) => {
                    problem.help(format!("choose from {}", classes.join(", ")))
                }
            }
        })
    }

    /// Returns the class of a label text.
    fn class<'a>(&'a self, text: &'a str) -> &'a str {
        self.wording.map.get(text).map_or(text, String::as_str)
    }

    fn truth(&self, class: &str) -> Option<Truth> {
        match &self.meaning {
            Meaning::Positive { positive, classes } => {
                let known = classes.iter().any(|known| known == class);
                known.then(|| Truth::Positive(class == positive))
            }
            Meaning::Classes(classes) => {
                let at = classes.iter().position(|known| known == class)?;
                Some(Truth::Class(at as u16))
            }
            Meaning::Number => {
                let number: f64 = class.trim().parse().ok()?;
                number.is_finite().then_some(Truth::Number(number))
            }
        }
    }

    /// Reads a cell; `None` also if there is no row.
    pub fn read(&self, cell: Option<&[u8]>) -> Label {
        let Some(bytes) = cell.filter(|bytes| !bytes.is_empty() || is_text(&self.cql_type)) else {
            return self.missing.map_or(Label::Missing, Label::Truth);
        };
        let text = match (is_text(&self.cql_type), std::str::from_utf8(bytes)) {
            (true, Ok(text)) => std::borrow::Cow::Borrowed(text),
            _ => literal::to_text(&self.cql_type, bytes).into(),
        };
        match self.truth(self.class(&text)) {
            Some(truth) => Label::Truth(truth),
            None => Label::Unexpected(text.chars().take(64).collect()),
        }
    }
}

fn is_text(cql_type: &CqlType) -> bool {
    matches!(cql_type, CqlType::Text | CqlType::Ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording(map: &[(&str, &str)], missing: Option<&str>) -> Wording {
        let pairs = map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Wording {
            map: pairs.collect(),
            missing: missing.map(str::to_owned),
        }
    }

    fn binary(cql_type: CqlType, wording: Wording) -> Result<Labels, Problem> {
        let meaning = Meaning::Positive {
            positive: "1".to_owned(),
            classes: vec!["0".to_owned(), "1".to_owned()],
        };
        Labels::new(&cql_type, wording, meaning)
    }

    #[test]
    fn cells_of_every_type_are_classes_by_their_text() {
        let labels = binary(CqlType::Int, Wording::default()).unwrap();
        let one = 1_i32.to_be_bytes();
        assert_eq!(labels.read(Some(&one)), Label::Truth(Truth::Positive(true)));
        assert_eq!(labels.read(None), Label::Missing);
        assert_eq!(labels.read(Some(&[])), Label::Missing);
        let seven = 7_i32.to_be_bytes();
        assert_eq!(labels.read(Some(&seven)), Label::Unexpected("7".to_owned()));
        let yes = wording(&[("true", "1"), ("false", "0")], None);
        let labels = binary(CqlType::Boolean, yes).unwrap();
        assert_eq!(
            labels.read(Some(&[0])),
            Label::Truth(Truth::Positive(false))
        );
        let error = binary(CqlType::Double, Wording::default()).unwrap_err();
        assert_eq!(error.code, "labels.type");
    }

    #[test]
    fn an_empty_text_is_a_label_and_a_missing_one_may_mean_something() {
        let labels = binary(CqlType::Text, wording(&[("", "1")], Some("0"))).unwrap();
        assert_eq!(labels.read(Some(b"")), Label::Truth(Truth::Positive(true)));
        assert_eq!(labels.read(None), Label::Truth(Truth::Positive(false)));
        let error = binary(CqlType::Text, wording(&[("a", "2")], None)).unwrap_err();
        assert_eq!(error.code, "labels.unknown_class");
    }

    #[test]
    fn numbers_are_finite_or_unexpected() {
        let labels = Labels::new(&CqlType::Double, Wording::default(), Meaning::Number).unwrap();
        let read = |value: f64| labels.read(Some(&value.to_be_bytes()));
        assert_eq!(read(0.1), Label::Truth(Truth::Number(0.1)));
        assert_eq!(read(f64::NAN), Label::Unexpected("NaN".to_owned()));
        let decimal = Labels::new(&CqlType::Decimal, Wording::default(), Meaning::Number).unwrap();
        let cell = [&2_i32.to_be_bytes()[..], &[0x7b]].concat();
        assert_eq!(decimal.read(Some(&cell)), Label::Truth(Truth::Number(1.23)));
        let wrong = Labels::new(&CqlType::Boolean, Wording::default(), Meaning::Number);
        assert!(wrong.is_err());
    }
}
