//! Builds a reference from training rows, column by column.

use std::collections::BTreeMap;

use half::f16;

use super::{Counter, Distribution, MIN_ROWS};
use crate::domain::{model::tensor::Element, names::nearest, problem::Problem};

/// A feature as a model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPlace {
    /// Its name, as mappings use it; `embedding[0]` for a value of several.
    pub name: String,
    pub element: Element,
}

/// A value of a training row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReferenceCell<'a> {
    Null,
    Number(f64),
    Text(&'a str),
}

/// The reference of a version: the distribution of each feature in its training rows.
pub type Reference = BTreeMap<String, Distribution>;

/// Reads training rows.
#[derive(Debug)]
pub struct ReferenceReader {
    /// By column of the file.
    columns: Vec<(ModelPlace, Counter)>,
    rows: u64,
}

/// What to do if a job makes an input of images, bytes or texts.
pub const PREPARED: &str = "an input that a job prepares (image, bytes, tokens) has no reference: \
    compare with a run, `helenus drift baseline JOB --run ID`";

impl ReferenceReader {
    /// Begins with the names of the file's columns, in the file's order. `places` are the model's
    /// features.
    ///
    /// # Errors
    /// Columns that are not features, and features without a column.
    pub fn new(header: &[String], places: &[ModelPlace]) -> Result<Self, Vec<Problem>> {
        let names = || places.iter().map(|place| place.name.as_str());
        let unknown: Vec<&String> = header
            .iter()
            .filter(|column| names().all(|name| name != **column))
            .collect();
        let missing: Vec<&str> = names()
            .filter(|name| header.iter().all(|column| column != name))
            .collect();
        let mut problems = Vec::new();
        if let Some(first) = unknown.first() {
            let near = nearest(first, missing.iter().copied());
            let help = near.map_or_else(
                || {
                    "a reference has the model's features only: leave out keys and labels"
                        .to_owned()
                },
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("column {} is not a feature", listed(&unknown));
            problems.push(
                Problem::new("reference.column", message)
                    .at("line 1")
                    .help(help),
            );
        }
        if !missing.is_empty() {
            let message = format!("no column for feature {}", listed(&missing));
            problems.push(
                Problem::new("reference.missing", message)
                    .at("line 1")
                    .help(PREPARED),
            );
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = header.iter().filter_map(|column| {
            let place = places.iter().find(|place| place.name == *column)?;
            let counter = Counter::new(None, place.element == Element::String);
            Some((place.clone(), counter))
        });
        Ok(Self {
            columns: columns.collect(),
            rows: 0,
        })
    }

    /// Adds a row; its cells are in the order of the header.
    ///
    /// # Errors
    /// The index of a cell that is not of its feature's type, and what is wrong.
    pub fn add(&mut self, cells: &[ReferenceCell<'_>]) -> Result<(), (usize, Problem)> {
        self.rows += 1;
        for (at, (cell, (place, counter))) in cells.iter().zip(&mut self.columns).enumerate() {
            let is_text = place.element == Element::String;
            match cell {
                ReferenceCell::Null => counter.add_null(),
                ReferenceCell::Text(text) if is_text => counter.add_text(None, text),
                ReferenceCell::Number(number) if is_text => {
                    counter.add_text(None, &number.to_string())
                }
                ReferenceCell::Number(number) => {
                    counter.add_number(None, rounded(*number, place.element));
                }
                ReferenceCell::Text(text) => match number(text, place.element) {
                    Some(number) => counter.add_number(None, rounded(number, place.element)),
                    None => {
                        let message =
                            format!("`{text}` is not a number, which `{}` is", place.name);
                        return Err((at, Problem::new("reference.value", message)));
                    }
                },
            }
        }
        Ok(())
    }

    /// Returns the reference.
    ///
    /// # Errors
    /// Too few rows, and features without any value.
    pub fn finish(self) -> Result<Reference, Vec<Problem>> {
        if self.rows < MIN_ROWS {
            let message = format!("{} rows; a reference needs at least {MIN_ROWS}", self.rows);
            return Err(vec![Problem::new("reference.too_few", message).help(
                "take the rows that the model was trained on, or a random sample of them",
            )]);
        }
        let mut reference = Reference::new();
        let (mut empty, mut short) = (Vec::new(), Vec::new());
        for (place, counter) in self.columns {
            let distribution = counter.into_distribution(None);
            match distribution.values() {
                0 => empty.push(place.name),
                values if values < MIN_ROWS => short.push(format!("{} ({values})", place.name)),
                _ => {
                    reference.insert(place.name, distribution);
                }
            }
        }
        let mut problems = Vec::new();
        if !empty.is_empty() {
            let message = format!("no row has a value of feature {}", listed(&empty));
            problems.push(Problem::new("reference.all_null", message));
        }
        if !short.is_empty() {
            let message = format!(
                "fewer than {MIN_ROWS} rows have a value of feature {}",
                listed(&short)
            );
            problems.push(Problem::new("reference.too_few", message));
        }
        match problems.is_empty() {
            true => Ok(reference),
            false => Err(problems),
        }
    }
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(5)
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn number(text: &str, element: Element) -> Option<f64> {
    match (text.trim(), element) {
        ("true" | "True", Element::Bool) => Some(1.0),
        ("false" | "False", Element::Bool) => Some(0.0),
        (text, _) => text.parse().ok(),
    }
}

/// Rounds a number as the model's input does, so that equal values remain equal.
fn rounded(number: f64, element: Element) -> f64 {
    match element {
        Element::Float => f64::from(number as f32),
        Element::Float16 => f16::from_f64(number).to_f64(),
        Element::Double | Element::Int32 | Element::Int64 | Element::Bool | Element::String => {
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::drift::Bins;

    fn places() -> Vec<ModelPlace> {
        let place = |name: &str, element| ModelPlace {
            name: name.to_owned(),
            element,
        };
        vec![
            place("size", Element::Float),
            place("city", Element::String),
        ]
    }

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn other_columns_are_refused_with_their_names() {
        let refused = |names: &[&str]| {
            let problems = ReferenceReader::new(&header(names), &places()).unwrap_err();
            problems
                .into_iter()
                .map(|problem| (problem.code, problem.message, problem.help))
                .collect::<Vec<_>>()
        };
        let problems = refused(&["city", "seize"]);
        assert_eq!(problems[0].0, "reference.column");
        assert_eq!(problems[0].1, "column `seize` is not a feature");
        assert_eq!(problems[0].2.as_deref(), Some("did you mean `size`?"));
        assert_eq!(problems[1].1, "no column for feature `size`");
        let problems = refused(&["city", "size", "label"]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].2.as_deref().unwrap().contains("labels"));
    }

    #[test]
    fn few_rows_and_features_without_values_are_refused() {
        let fill = |rows: u32, cell: fn(u32) -> ReferenceCell<'static>| {
            let mut reader = ReferenceReader::new(&header(&["city", "size"]), &places()).unwrap();
            for row in 0..rows {
                reader
                    .add(&[ReferenceCell::Text("Rome"), cell(row)])
                    .unwrap();
            }
            let finished = reader.finish();
            finished.map_err(|problems| problems[0].message.clone())
        };
        let number = |row: u32| ReferenceCell::Number(f64::from(row) / 10.0);
        assert_eq!(
            fill(199, number).unwrap_err(),
            "199 rows; a reference needs at least 200"
        );
        assert_eq!(
            fill(200, |_| ReferenceCell::Null).unwrap_err(),
            "no row has a value of feature `size`"
        );
        let reference = fill(200, number).unwrap();
        assert_eq!(reference["city"].cells, [200, 0]);
        assert_eq!(reference["size"].values(), 200);
        // 0.1 is what the model's input holds.
        let reference = fill(200, |row| ReferenceCell::Number(f64::from(row % 2) / 10.0)).unwrap();
        let tenth = f64::from(0.1_f32);
        assert_eq!(reference["size"].bins, Bins::Values(vec![0.0, tenth]));
    }

    #[test]
    fn a_value_of_another_type_is_placed() {
        let mut reader = ReferenceReader::new(&header(&["city", "size"]), &places()).unwrap();
        let (at, problem) = reader
            .add(&[ReferenceCell::Text("Rome"), ReferenceCell::Text("n/a")])
            .unwrap_err();
        assert_eq!(at, 1);
        assert_eq!(problem.message, "`n/a` is not a number, which `size` is");
    }
}
