//! Reads the training rows that a version is compared with: those of `model push --reference`, and
//! those that a trainer leaves.

use std::{fs::File, path::Path};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};

use crate::{
    domain::{
        csv,
        evidence::drift::{ModelPlace, Reference, ReferenceCell, ReferenceReader},
        problem::Problem,
    },
    failure::Failure,
    scorer::places::model_places,
};

/// The first bytes of a Parquet file.
const PARQUET: &[u8] = b"PAR1";

/// Returns the reference in `path` for the model in `model`, whose features have these names.
///
/// # Errors
/// Exit 2: a file can't be read, has other columns than the model has features, too few rows, or
/// values of another type.
pub fn read(path: &Path, model: &Path, names: &[String]) -> Result<Reference, Failure> {
    let places = bytes(model).and_then(|file| {
        let placed = |problem: Problem| problem.at(model.display().to_string());
        model_places(file, names).map_err(|problem| vec![placed(problem)])
    });
    let places = places.map_err(Failure::inputs)?;
    let content = bytes(path).map_err(Failure::inputs)?;
    let read = match content.starts_with(PARQUET) {
        true => read_parquet(path, &places),
        false => read_csv(&content, &places),
    };
    read.map_err(|mut problems| {
        for problem in &mut problems {
            if let (true, Some(place)) = (problem.code.starts_with("csv."), &problem.place) {
                problem.place = Some(format!("{}: {place}", path.display()));
            }
        }
        Failure::inputs(problems)
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, Vec<Problem>> {
    std::fs::read(path).map_err(|error| vec![unreadable(path, &error)])
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("reference.unreadable", format!("cannot be read: {error}"))
        .at(path.display().to_string())
}

fn read_csv(content: &[u8], places: &[ModelPlace]) -> Result<Reference, Vec<Problem>> {
    let text = csv::decode(content).map_err(|problem| vec![problem])?;
    let rows = csv::Reader::new(text).map_err(|problem| vec![problem])?;
    let mut reader = ReferenceReader::new(&rows.header, places)?;
    for record in rows {
        let record = record.map_err(|problem| vec![problem])?;
        let cells = record.fields.iter().map(|field| match &field.value {
            None => ReferenceCell::Null,
            Some(text) => ReferenceCell::Text(text),
        });
        let cells: Vec<ReferenceCell<'_>> = cells.collect();
        reader
            .add(&cells)
            .map_err(|(at, problem)| vec![problem.at(record.fields[at].place())])?;
    }
    reader.finish()
}

fn read_parquet(path: &Path, places: &[ModelPlace]) -> Result<Reference, Vec<Problem>> {
    let broken = |error: &dyn std::fmt::Display| vec![unreadable(path, error)];
    let file = File::open(path).map_err(|error| broken(&error))?;
    let file = SerializedFileReader::new(file).map_err(|error| broken(&error))?;
    let schema = file.metadata().file_metadata().schema();
    let header: Vec<String> = schema
        .get_fields()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let mut reader = ReferenceReader::new(&header, places)?;
    let rows = file.get_row_iter(None).map_err(|error| broken(&error))?;
    for (number, row) in (1..).zip(rows) {
        let row = row.map_err(|error| broken(&error))?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let place = |at: usize| format!("row {number}, column `{}`", header[at]);
        let mut cells = Vec::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            let Some(cell) = cell(field) else {
                let message = "the value is neither a number nor a text";
                return Err(vec![Problem::new("reference.value", message).at(place(at))]);
            };
            cells.push(cell);
        }
        reader
            .add(&cells)
            .map_err(|(at, problem)| vec![problem.at(place(at))])?;
    }
    reader.finish()
}

fn cell(field: &Field) -> Option<ReferenceCell<'_>> {
    Some(match field {
        Field::Null => ReferenceCell::Null,
        Field::Bool(truth) => ReferenceCell::Number(f64::from(u8::from(*truth))),
        Field::Byte(number) => ReferenceCell::Number(f64::from(*number)),
        Field::Short(number) => ReferenceCell::Number(f64::from(*number)),
        Field::Int(number) => ReferenceCell::Number(f64::from(*number)),
        Field::Long(number) => ReferenceCell::Number(*number as f64),
        Field::UByte(number) => ReferenceCell::Number(f64::from(*number)),
        Field::UShort(number) => ReferenceCell::Number(f64::from(*number)),
        Field::UInt(number) => ReferenceCell::Number(f64::from(*number)),
        Field::ULong(number) => ReferenceCell::Number(*number as f64),
        Field::Float16(number) => ReferenceCell::Number(number.to_f64()),
        Field::Float(number) => ReferenceCell::Number(f64::from(*number)),
        Field::Double(number) => ReferenceCell::Number(*number),
        Field::Str(text) => ReferenceCell::Text(text),
        _ => return None,
    })
}
