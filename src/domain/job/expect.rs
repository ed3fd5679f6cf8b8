//! `[expect]`: source rows with known predictions, which prove the mapping.

use super::{
    manifest::{Manifest, VersionWish},
    mapping::listed,
};
use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, literal, wire::Parts},
    domain::{
        csv,
        job::{CompiledJob, CompiledVersion},
        model::tolerance::Tolerance,
        names::nearest,
        problem::Problem,
    },
};

/// Expected outcome of one source row.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedRow {
    /// Line of the CSV.
    pub line: usize,
    /// The model version, if the CSV names one. Otherwise the row applies to the version that
    /// `versions` names first and to each version whose order only `[wide]` gives.
    pub version: Option<i32>,
    /// Key cells in the order of [`CompiledJob::key`]; empty for a file.
    pub key: Vec<Vec<u8>>,
    /// The file that is scored instead of a source row, as the CSV names it.
    pub file: Option<String>,
    /// Output cells: index into the target's columns, and the value. Empty CSV fields are not
    /// compared.
    pub outputs: Vec<(usize, Vec<u8>)>,
    /// Whether the row must be rejected; `None`: not compared.
    pub rejected: Option<bool>,
}

impl ExpectedRow {
    /// Returns whether the row applies to `version`; `first`: the version that `versions` names
    /// first.
    pub fn is_about(&self, version: &CompiledVersion, first: i32) -> bool {
        let number = version.ready.version;
        match self.version {
            Some(named) => named == number,
            None => number == first || !version.ordered_by_manifest.is_empty(),
        }
    }

    /// Returns whether the row, if it is scored as expected, proves the order that `[wide]` gives
    /// the version's features. A row that is rejected, or without an expected output, proves
    /// nothing.
    pub fn proves_order_of(&self, version: &CompiledVersion) -> bool {
        let is_ordered = !version.ordered_by_manifest.is_empty();
        let is_scored = !self.outputs.is_empty() && self.rejected != Some(true);
        is_ordered && is_scored && self.is_about(version, version.ready.version)
    }
}

/// Returns the manifest's expected rows; `None` if it has none.
///
/// # Errors
/// As [`read`].
pub fn of_manifest(
    manifest: &Manifest,
    job: &CompiledJob,
) -> Option<Result<Vec<ExpectedRow>, Vec<Problem>>> {
    let text = manifest.expect.as_ref()?.rows.as_ref()?;
    let mut versions = manifest.versions.iter();
    let follows = versions.any(|version| matches!(version, VersionWish::Alias(_)));
    Some(read(text, job, follows))
}

/// Parses expected rows: all key columns, output columns of the prediction table, and optionally
/// `model_version` and `rejected` (true or false). `follows_alias`: versions that are not the job's
/// now are permitted, because an alias of it may move to them, or has moved away.
///
/// # Errors
/// All mistakes that can be told apart, by line and column, at most ten.
pub fn read(
    text: &str,
    job: &CompiledJob,
    follows_alias: bool,
) -> Result<Vec<ExpectedRow>, Vec<Problem>> {
    read_about(Subject::Rows, text, job, follows_alias)
}

/// Parses expected files: column `file` instead of the key columns of [`read`].
///
/// # Errors
/// As [`read`].
pub fn read_files(text: &str, job: &CompiledJob) -> Result<Vec<ExpectedRow>, Vec<Problem>> {
    read_about(Subject::Files, text, job, false)
}

/// What the rows of the CSV are about.
#[derive(Clone, Copy, PartialEq)]
enum Subject {
    Rows,
    Files,
}

fn read_about(
    subject: Subject,
    text: &str,
    job: &CompiledJob,
    follows_alias: bool,
) -> Result<Vec<ExpectedRow>, Vec<Problem>> {
    let reader = csv::Reader::new(text).map_err(|problem| vec![within(problem)])?;
    let columns = columns(subject, &reader, job)?;
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for record in reader {
        match record {
            Ok(record) => match row(&record, &columns, job, follows_alias) {
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
        problems.push(Problem::new("job.expect_rows", "no expected rows").at("expect"));
    }
    match problems.is_empty() {
        true => Ok(rows),
        false => Err(problems),
    }
}

/// The column of the CSV that names files.
const FILE: &str = "file";

enum Meaning {
    Key(usize),
    Output(usize),
    Version,
    Rejected,
    File,
}

fn within(problem: Problem) -> Problem {
    let place = problem.place.clone().unwrap_or_default();
    problem.at(format!("expect, {place}"))
}

fn columns(
    subject: Subject,
    reader: &csv::Reader<'_>,
    job: &CompiledJob,
) -> Result<Vec<Meaning>, Vec<Problem>> {
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
            (_, _, FILE) if subject == Subject::Files => Meaning::File,
            (Some(key), _, _) if subject == Subject::Rows => Meaning::Key(key),
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
                        None => format!("choose from {}", listed(known())),
                    }),
                );
                continue;
            }
        });
    }
    let needed: Vec<&str> = match subject {
        Subject::Rows => job.key.iter().map(|column| column.name.as_str()).collect(),
        Subject::Files => vec![FILE],
    };
    for name in needed {
        if reader.column(name).is_none() {
            let what = match subject {
                Subject::Rows => "key column",
                Subject::Files => "column",
            };
            let message = format!("{what} `{name}` is missing");
            problems.push(Problem::new("job.expect_rows", message).at("expect"));
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
    follows_alias: bool,
) -> Result<ExpectedRow, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut row = ExpectedRow {
        line: record.line,
        version: None,
        key: vec![Vec::new(); job.key.len()],
        file: None,
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
            (Meaning::File, Some(name)) => {
                row.file = Some(name.to_owned());
                row.key.clear();
            }
            (Meaning::File, None) => wrong("the file has no name".to_owned()),
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
                    let mut versions = job.versions.iter();
                    let is_of_job = versions.any(|version| version.ready.version == *number);
                    is_of_job || (follows_alias && *number > 0)
                };
                match text.trim().parse().ok().filter(known) {
                    Some(number) => row.version = Some(number),
                    None => wrong(format!("version `{text}` is not one of the job's")),
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

/// Returns the differences between a row's scored cells and its expected ones, one line each.
/// `tied`, called with a label's output, returns whether the scores that decide it are too close to
/// call; the label may then differ.
pub fn differences(
    job: &CompiledJob,
    version: &CompiledVersion,
    expected: &ExpectedRow,
    cells: &CellBuffer,
    tolerance: Tolerance,
    tied: impl Fn(usize) -> bool,
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
            let output = version.outputs.get(*at).and_then(Option::as_ref);
            let rounding = |place: usize| {
                let outputs = &version.ready.admitted.signature.outputs;
                output
                    .and_then(|cell| Some((outputs.get(cell.output)?, cell.offset + place)))
                    .map_or(0.0, |(output, column)| output.rounding(column))
            };
            let same =
                got.is_some_and(|got| same(&column.cql_type, got, wanted, tolerance, &rounding));
            if same || (is_label && output.is_some_and(|cell| tied(cell.output))) {
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

/// `rounding`: what admission observed, by the value's index in the cell.
fn same(
    cql_type: &CqlType,
    got: &[u8],
    wanted: &[u8],
    tolerance: Tolerance,
    rounding: &dyn Fn(usize) -> f64,
) -> bool {
    let number = |bytes: &[u8]| match cql_type {
        CqlType::Float => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        CqlType::Double => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    };
    if let (Some(got), Some(wanted)) = (number(got), number(wanted)) {
        return tolerance.close_within(got, wanted, rounding(0));
    }
    if let CqlType::Vector(element, _) = cql_type
        && let (Some(Ok(got)), Some(Ok(wanted))) =
            (Parts::open(cql_type, got), Parts::open(cql_type, wanted))
    {
        return got.zip(wanted).enumerate().all(|(place, pair)| match pair {
            (Ok(Some(got)), Ok(Some(wanted))) => {
                same(element, got, wanted, tolerance, &|_| rounding(place))
            }
            _ => false,
        });
    }
    got == wanted
}
