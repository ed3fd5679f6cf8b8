//! Golden rows: model inputs with the predictions of the training library.
//!
//! A CSV with columns `in.<input or feature>` (or `in.X[0]`, by place) and `out.<output>` (or
//! `out.probabilities[1]`).

mod places;

use half::f16;

use places::{by_place, input_place, output_place, place_name};

use super::tensor::{Element, InputBatch, TensorData};
use crate::domain::{
    csv::{self, Field},
    model::{Input, Output},
    problem::Problem,
};

/// A file of golden rows, split into fields but not yet interpreted.
#[derive(Debug, Clone)]
pub struct Golden {
    columns: Vec<Column>,
    rows: Vec<csv::Record>,
}

#[derive(Debug, Clone)]
struct Column {
    /// Name in the header, `in.mean radius`.
    header: String,
    side: Side,
    /// Name without `in.` or `out.`.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    In,
    Out,
}

/// Expected values of one output column, row by row.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The column's header, for messages.
    pub header: String,
    /// The column's index in the file.
    pub column: usize,
    /// Index into the signature's outputs.
    pub output: usize,
    /// Offset within a row of that output.
    pub offset: usize,
    /// One value per row; floats of every size as `Double`, so that nothing is rounded.
    pub values: TensorData,
}

impl Golden {
    /// Splits the text and interprets the header.
    ///
    /// # Errors
    /// Text that is not CSV, columns that are neither `in.` nor `out.`, no rows, no `out.` column.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let reader = csv::Reader::new(text).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut columns = Vec::new();
        for header in &reader.header {
            let (side, name) = match header.split_once('.') {
                Some(("in", name)) if !name.is_empty() => (Side::In, name),
                Some(("out", name)) if !name.is_empty() => (Side::Out, name),
                _ => {
                    problems.push(
                        Problem::new("golden.column", format!("column `{header}` is neither `in.…` nor `out.…`"))
                            .at("line 1")
                            .help("write `in.<input or feature>` or `in.X[0]`, `out.<output>` or `out.probabilities[1]`"),
                    );
                    continue;
                }
            };
            columns.push(Column {
                header: header.clone(),
                side,
                name: name.to_owned(),
            });
        }
        if !columns.iter().any(|column| column.side == Side::Out) && problems.is_empty() {
            problems.push(
                Problem::new(
                    "golden.nothing_expected",
                    "no column `out.…`, so there is nothing to compare",
                )
                .at("line 1"),
            );
        }
        let mut rows = Vec::new();
        for record in reader {
            match record {
                Ok(record) => rows.push(record),
                Err(problem) => problems.push(problem),
            }
        }
        if rows.is_empty() && problems.is_empty() {
            problems.push(Problem::new("golden.empty", "no golden rows").at("line 2"));
        }
        if problems.is_empty() {
            Ok(Self { columns, rows })
        } else {
            Err(problems)
        }
    }

    /// Returns the number of rows, at least one.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    /// Returns the line on which a row begins.
    pub fn line(&self, row: usize) -> usize {
        self.rows[row].line
    }

    /// Returns `line L, column C` of a value.
    pub fn place(&self, row: usize, column: usize) -> String {
        self.rows[row].fields[column].place()
    }

    /// Returns the number of places that `in.<input>[i]` names if they are 0, 1, 2 … without gaps.
    pub fn places_of(&self, input: &str) -> Option<usize> {
        let mut places: Vec<usize> = self
            .columns
            .iter()
            .filter(|column| column.side == Side::In)
            .filter_map(|column| by_place(&column.name))
            .filter(|(name, _)| *name == input)
            .map(|(_, place)| place)
            .collect();
        places.sort_unstable();
        let whole = !places.is_empty() && places.iter().enumerate().all(|(i, place)| i == *place);
        whole.then_some(places.len())
    }

    /// Returns the input tensors. `features` names the places of all wide inputs, concatenated; it
    /// may be empty.
    ///
    /// # Errors
    /// Columns with unknown names, places without a column, values that are not of the tensor's
    /// type.
    pub fn inputs(
        &self,
        inputs: &[Input],
        features: &[String],
    ) -> Result<InputBatch, Vec<Problem>> {
        let mut problems = Vec::new();
        // The column that fills each place of each input.
        let mut sources: Vec<Vec<Option<usize>>> = inputs
            .iter()
            .map(|input| vec![None; input.width()])
            .collect();
        for (at, column) in self.columns.iter().enumerate() {
            if column.side != Side::In {
                continue;
            }
            match input_place(&column.name, inputs, features) {
                Ok((input, offset)) => match sources[input][offset].replace(at) {
                    None => {}
                    Some(other) => problems.push(
                        Problem::new(
                            "golden.column",
                            format!(
                                "`{}` and `{}` fill the same place",
                                self.columns[other].header, column.header
                            ),
                        )
                        .at("line 1"),
                    ),
                },
                Err(problem) => problems.push(problem),
            }
        }
        for (input, places) in inputs.iter().zip(&sources) {
            if let Some(place) = places.iter().position(Option::is_none) {
                let missing = places.iter().filter(|source| source.is_none()).count();
                let name = place_name(input, place, inputs, features);
                let others = match missing - 1 {
                    0 => String::new(),
                    others => format!(" (and {others} more)"),
                };
                problems.push(
                    Problem::new(
                        "golden.missing_input",
                        format!("no column `in.{name}`{others}"),
                    )
                    .at("line 1"),
                );
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut tensors = Vec::with_capacity(inputs.len());
        for (input, places) in inputs.iter().zip(&sources) {
            let mut data = TensorData::new(input.element);
            for row in &self.rows {
                for column in places.iter().flatten() {
                    let field = &row.fields[*column];
                    let header = &self.columns[*column].header;
                    if let Err(problem) = push(&mut data, field, header) {
                        problems.push(problem);
                    }
                }
            }
            tensors.push(data);
        }
        if problems.is_empty() {
            Ok(InputBatch {
                rows: self.rows.len(),
                inputs: tensors,
                ..InputBatch::default()
            })
        } else {
            problems.truncate(20);
            Err(problems)
        }
    }

    /// Returns the expected outputs.
    ///
    /// # Errors
    /// Columns with unknown names, values that are not of the output's type.
    pub fn expected(&self, outputs: &[Output]) -> Result<Vec<Expected>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut all = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if column.side != Side::Out {
                continue;
            }
            let (output, offset) = match output_place(&column.name, outputs) {
                Ok(place) => place,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let element = match outputs[output].element {
                Element::Float16 | Element::Float => Element::Double,
                other => other,
            };
            let mut values = TensorData::new(element);
            for row in &self.rows {
                if let Err(problem) = push(&mut values, &row.fields[at], &column.header) {
                    problems.push(problem);
                }
            }
            all.push(Expected {
                header: column.header.clone(),
                column: at,
                output,
                offset,
                values,
            });
        }
        if problems.is_empty() {
            Ok(all)
        } else {
            problems.truncate(20);
            Err(problems)
        }
    }
}

/// Appends a field's value; an invalid value is a problem and appends a zero.
fn push(data: &mut TensorData, field: &Field, header: &str) -> Result<(), Problem> {
    let bad =
        |why: String| Problem::new("golden.value", format!("`{header}`: {why}")).at(field.place());
    let text = field.value.as_deref();
    fn parse<T: std::str::FromStr>(text: Option<&str>, kind: &str) -> Result<T, String> {
        let text = text.ok_or_else(|| format!("null is not permitted in a tensor of {kind}"))?;
        text.trim()
            .parse()
            .map_err(|_| format!("`{text}` is not {kind}"))
    }
    fn finite(text: Option<&str>, overflowed: bool, kind: &str) -> Result<(), String> {
        let text = text.unwrap_or_default().trim();
        let named = text
            .trim_start_matches(['+', '-'])
            .to_ascii_lowercase()
            .starts_with("inf");
        if overflowed && !named {
            return Err(format!("`{text}` is too large for {kind}"));
        }
        Ok(())
    }
    let done = match data {
        TensorData::Float16(values) => parse::<f64>(text, "float16 (write NaN for a missing one)")
            .map(f16::from_f64)
            .and_then(|value| {
                values.push(value);
                finite(text, value.is_infinite(), "float16")
            }),
        TensorData::Float(values) => parse::<f32>(text, "float (write NaN for a missing one)")
            .and_then(|value| {
                values.push(value);
                finite(text, value.is_infinite(), "float")
            }),
        TensorData::Double(values) => parse::<f64>(text, "double (write NaN for a missing one)")
            .and_then(|value| {
                values.push(value);
                finite(text, value.is_infinite(), "double")
            }),
        TensorData::Int32(values) => parse(text, "int32").map(|value| values.push(value)),
        TensorData::Int64(values) => parse(text, "int64").map(|value| values.push(value)),
        TensorData::Bool(values) => parse::<String>(text, "bool").and_then(|text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" => values.push(true),
                "false" | "0" => values.push(false),
                _ => return Err(format!("`{text}` is not true or false")),
            }
            Ok(())
        }),
        TensorData::String(values) => match text {
            Some(text) => {
                values.push(text);
                Ok(())
            }
            None => Err(
                "null is not permitted in a tensor of text; write \"\" for empty text".to_owned(),
            ),
        },
    };
    done.map_err(bad)
}

#[cfg(test)]
mod tests;
