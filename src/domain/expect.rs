//! `[expect]`: rows of the source whose predictions somebody knows, to prove the mapping.

use super::{
    cells::CellBuffer, cql_type::CqlType, csv, job::CompiledJob, literal, mapping::listed,
    problem::Problem, tolerance::Tolerance, wire::Parts, words::nearest,
};

/// What is expected of one source row under one version.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedRow {
    /// Line of the CSV.
    pub line: usize,
    /// The model version.
    pub version: i32,
    /// Key cells in the order of [`CompiledJob::key`].
    pub key: Vec<Vec<u8>>,
    /// Output cells: index into the target's columns, and the value. What is empty in the CSV is
    /// not compared.
    pub outputs: Vec<(usize, Vec<u8>)>,
    /// Whether the row is to be rejected, where the CSV says so.
    pub rejected: Option<bool>,
}

/// Reads expected rows: all key columns, output columns of the prediction table, and perhaps
/// `model_version` (otherwise rows are about version `first`) and `rejected` (true or false).
///
/// # Errors
/// All mistakes that can be told apart, by line and column, at most ten.
pub fn read(text: &str, job: &CompiledJob, first: i32) -> Result<Vec<ExpectedRow>, Vec<Problem>> {
    let reader = csv::Reader::new(text).map_err(|problem| vec![within(problem)])?;
    let columns = columns(&reader, job)?;
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for record in reader {
        match record {
            Ok(record) => match row(&record, &columns, job, first) {
                Ok(row) => rows.push(row),
                Err(mut wrong) => problems.append(&mut wrong),
            },
            Err(problem) => problems.push(within(problem)),
        }
        if problems.len() >= 10 {
            problems.truncate(10);
            break;
        }
    }
    if rows.is_empty() && problems.is_empty() {
        problems.push(Problem::new("job.expect_rows", "there are no expected rows").at("expect"));
    }
    match problems.is_empty() {
        true => Ok(rows),
        false => Err(problems),
    }
}

enum Meaning {
    Key(usize),
    Output(usize),
    Version,
    Rejected,
}

fn within(problem: Problem) -> Problem {
    let place = problem.place.clone().unwrap_or_default();
    problem.at(format!("expect, {place}"))
}

fn columns(reader: &csv::Reader<'_>, job: &CompiledJob) -> Result<Vec<Meaning>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut meanings = Vec::new();
    for name in &reader.header {
        let key = job.key.iter().position(|column| column.name == *name);
        let output = job
            .target
            .outputs
            .iter()
            .position(|column| column.name == *name);
        meanings.push(match (key, output, name.as_str()) {
            (Some(key), _, _) => Meaning::Key(key),
            (_, Some(output), _) => Meaning::Output(output),
            (_, _, "model_version") => Meaning::Version,
            (_, _, "rejected") => Meaning::Rejected,
            _ => {
                let known = || {
                    let outputs = job.target.outputs.iter().map(|column| column.name.as_str());
                    job.key
                        .iter()
                        .map(|column| column.name.as_str())
                        .chain(outputs)
                };
                problems.push(
                    Problem::new(
                        "job.expect_rows",
                        format!("`{name}` is neither a key column nor an output column"),
                    )
                    .at("expect")
                    .help(match nearest(name, known()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("they are {}", listed(known())),
                    }),
                );
                continue;
            }
        });
    }
    for column in &job.key {
        if reader.column(&column.name).is_none() {
            problems.push(
                Problem::new(
                    "job.expect_rows",
                    format!("key column `{}` is missing", column.name),
                )
                .at("expect"),
            );
        }
    }
    match problems.is_empty() {
        true => Ok(meanings),
        false => Err(problems),
    }
}

fn row(
    record: &csv::Record,
    columns: &[Meaning],
    job: &CompiledJob,
    first: i32,
) -> Result<ExpectedRow, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut row = ExpectedRow {
        line: record.line,
        version: first,
        key: vec![Vec::new(); job.key.len()],
        outputs: Vec::new(),
        rejected: None,
    };
    for (field, meaning) in record.fields.iter().zip(columns) {
        let mut wrong = |message: String| {
            let place = format!("expect, {}", field.place());
            problems.push(Problem::new("job.expect_rows", message).at(place));
        };
        let read = |name: &str, cql_type: &CqlType, text: &str| {
            literal::from_text(cql_type, text).map_err(|error| format!("{name}: {error}"))
        };
        match (meaning, field.value.as_deref()) {
            (Meaning::Key(at), Some(text)) => {
                match read(&job.key[*at].name, &job.key[*at].cql_type, text) {
                    Ok(bytes) => row.key[*at] = bytes,
                    Err(message) => wrong(message),
                }
            }
            (Meaning::Key(at), None) => wrong(format!("key `{}` is null", job.key[*at].name)),
            (Meaning::Output(at), Some(text)) => {
                let column = &job.target.outputs[*at];
                match read(&column.name, &column.cql_type, text) {
                    Ok(bytes) => row.outputs.push((*at, bytes)),
                    Err(message) => wrong(message),
                }
            }
            (Meaning::Version, Some(text)) => {
                let known = |number: &i32| {
                    job.versions
                        .iter()
                        .any(|version| version.ready.version == *number)
                };
                match text.trim().parse().ok().filter(known) {
                    Some(number) => row.version = number,
                    None => wrong(format!("version `{text}` is none of the job")),
                }
            }
            (Meaning::Rejected, Some(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => row.rejected = Some(true),
                "false" => row.rejected = Some(false),
                _ => wrong(format!("`{text}` is neither true nor false")),
            },
            (Meaning::Output(_) | Meaning::Version | Meaning::Rejected, None) => {}
        }
    }
    match problems.is_empty() {
        true => Ok(row),
        false => Err(problems),
    }
}

/// What differs between the scored cells of a row and what is expected of it, a line each.
/// `tied`: whether the two best scores are as good as equal, when a label may be either.
pub fn differences(
    job: &CompiledJob,
    expected: &ExpectedRow,
    cells: &CellBuffer,
    tolerance: Tolerance,
    tied: bool,
) -> Vec<String> {
    expected
        .outputs
        .iter()
        .filter_map(|(at, wanted)| {
            let column = &job.target.outputs[*at];
            let got = cells.cell(0, *at);
            let is_label = matches!(
                column.cql_type,
                CqlType::Text | CqlType::Bigint | CqlType::Int | CqlType::Boolean
            );
            let same = got.is_some_and(|got| same(&column.cql_type, got, wanted, tolerance));
            if same || (is_label && tied) {
                return None;
            }
            let got = got.map_or_else(
                || "null".to_owned(),
                |got| literal::to_text(&column.cql_type, got),
            );
            Some(format!(
                "{} is {got}, expected {}",
                column.name,
                literal::to_text(&column.cql_type, wanted)
            ))
        })
        .collect()
}

fn same(cql_type: &CqlType, got: &[u8], wanted: &[u8], tolerance: Tolerance) -> bool {
    let number = |bytes: &[u8]| match cql_type {
        CqlType::Float => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        CqlType::Double => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    };
    if let (Some(got), Some(wanted)) = (number(got), number(wanted)) {
        return tolerance.close(got, wanted);
    }
    if let CqlType::Vector(element, _) = cql_type
        && let (Some(Ok(got)), Some(Ok(wanted))) =
            (Parts::open(cql_type, got), Parts::open(cql_type, wanted))
    {
        return got.zip(wanted).all(|(got, wanted)| match (got, wanted) {
            (Ok(Some(got)), Ok(Some(wanted))) => same(element, got, wanted, tolerance),
            _ => false,
        });
    }
    got == wanted
}
