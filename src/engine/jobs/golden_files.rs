//! Golden files: original documents with the predictions of the training library, which prove a
//! job's preprocessing. They are proved by the command that makes the job, which has the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::expect::Expected;
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{CompiledJob, Conversion, expect, manifest::Manifest},
        model::tolerance::Tolerance,
        problem::Problem,
    },
    engine::models::ModelFiles,
    failure::Failure,
    store::Store,
};

/// Largest size of a golden file.
const MAX_FILE: u64 = 64 << 20;
const CODE: &str = "job.expect_files";

/// Compares the predictions of the manifest's golden files with the expected ones. `path` is the
/// manifest's; its files are relative to it.
///
/// # Errors
/// Errors of Cassandra and of ONNX Runtime; the inner error is what differs, or cannot be read.
pub async fn check_files(
    store: &Store,
    manifest: &Manifest,
    (aliases, job): (&BTreeMap<String, i32>, &CompiledJob),
    path: &Path,
) -> Result<Result<(), Vec<Problem>>, Failure> {
    let named = manifest.expect.as_ref();
    let Some((expect, files)) = named.and_then(|expect| Some((expect, expect.files.as_ref()?)))
    else {
        return Ok(Ok(()));
    };
    let list = path.parent().unwrap_or(Path::new("")).join(files);
    let rows = match read(&list, job) {
        Ok(rows) => rows,
        Err(problems) => return Ok(Err(problems)),
    };
    let expected = Expected {
        rows,
        tolerance: Tolerance {
            rtol: expect.rtol,
            atol: expect.atol,
        },
        first: manifest.first_version(aliases),
    };
    let problems = expected.differences(store, job, &ModelFiles::new()).await?;
    Ok(match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    })
}

type GoldenRow = (expect::ExpectedRow, Option<CellBuffer>);

/// Reads the CSV and the files that it names, relative to it.
fn read(list: &Path, job: &CompiledJob) -> Result<Vec<GoldenRow>, Vec<Problem>> {
    let column = content_column(job).map_err(|problem| vec![problem])?;
    let text = std::fs::read_to_string(list).map_err(|error| vec![unreadable(list, &error)])?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for row in expect::read_files(&text, job)? {
        let file: PathBuf = folder.join(row.file.as_deref().unwrap_or_default());
        match content(&file) {
            Ok(content) => {
                let mut cells = CellBuffer::new(job.columns.len());
                for at in 0..job.columns.len() {
                    cells.push((at == column).then_some(content.as_slice()));
                }
                rows.push((row, Some(cells)));
            }
            Err(problem) => problems.push(problem),
        }
    }
    match problems.is_empty() {
        true => Ok(rows),
        false => Err(problems),
    }
}

/// Returns the index of the only column that the job reads, which is prepared.
fn content_column(job: &CompiledJob) -> Result<usize, Problem> {
    let inputs = job.versions.iter().flat_map(|version| &version.inputs);
    let places = inputs.flat_map(|input| &input.places);
    let read: BTreeSet<(usize, bool)> = places
        .map(|place| {
            let is_prepared = matches!(place.conversion, Conversion::Prepared(_));
            (place.column, is_prepared)
        })
        .collect();
    match read.iter().collect::<Vec<_>>().as_slice() {
        [(column, true)] => Ok(*column),
        _ => Err(Problem::new(
            CODE,
            "expected files need a job that reads nothing but one column of documents",
        )
        .at("expect.files")
        .help("prove it with rows of the source: expect.file")),
    }
}

fn content(file: &Path) -> Result<Vec<u8>, Problem> {
    let size = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if size.len() > MAX_FILE {
        let message = format!("the file has {} bytes, more than {MAX_FILE}", size.len());
        return Err(Problem::new(CODE, message).at(file.display().to_string()));
    }
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::new(CODE, format!("cannot be read: {error}")).at(file.display().to_string())
}
