//! Scores expected rows through the real mapping, before anything is created.

use std::{collections::BTreeMap, fmt::Write};

use futures::{StreamExt, TryStreamExt};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    codec::{cells::CellBuffer, literal},
    domain::{
        job::{
            CompiledJob, CompiledVersion,
            expect::{self, ExpectedRow},
            hash,
            manifest::Manifest,
            outputs,
            prepare::TypedRows,
        },
        model::tolerance::Tolerance,
        problem::Problem,
    },
    engine::{
        models::{self, ModelFiles},
        predict::{self, ScoredRows},
    },
    failure::Failure,
    store::{Store, driver::raw::push_cell, predictions::selects},
};

/// Problem code for a row whose result differs from the expected one.
pub const DIFFERS: &str = "job.expect_differs";

/// Source rows read concurrently.
const READS: usize = 16;
/// Largest number of differences that are reported.
const TOLD: usize = 10;

/// A manifest's expected rows, each with the cells of the source row that it names, if there is one.
pub struct Expected {
    pub(super) rows: Vec<(ExpectedRow, Option<CellBuffer>)>,
    pub(super) tolerance: Tolerance,
    /// The first version in the manifest's `versions`.
    pub(super) first: i32,
}

/// Reads the manifest's expected rows that are about the job's versions, and the source rows that
/// they name. Returns `None` if the manifest has none.
///
/// # Errors
/// Errors of Cassandra; the inner error is what cannot be read in the manifest.
pub async fn read_rows(
    store: &Store,
    manifest: &Manifest,
    aliases: &BTreeMap<String, i32>,
    job: &CompiledJob,
) -> Result<Result<Option<Expected>, Vec<Problem>>, Failure> {
    let (Some(rows), Some(expect)) = (expect::of_manifest(manifest, job), &manifest.expect) else {
        return Ok(Ok(None));
    };
    let mut rows = match rows {
        Ok(rows) => rows,
        Err(problems) => return Ok(Err(problems)),
    };
    let first = manifest.first_version(aliases);
    rows.retain(|row| {
        job.versions
            .iter()
            .any(|version| row.is_about(version, first))
    });
    let select = selects::source_key(job);
    let rows = futures::stream::iter(rows)
        .map(|row| {
            let select = &select;
            async move {
                let mut key = Vec::new();
                row.key
                    .iter()
                    .for_each(|cell| push_cell(&mut key, Some(cell)));
                let page = store.by_key(select, &key).await?;
                let cells = (page.rows() > 0).then(|| page.copy_row(0, job.key.len()));
                Ok::<_, Failure>((row, cells))
            }
        })
        .buffered(READS)
        .try_collect()
        .await?;
    Ok(Ok(Some(Expected {
        rows,
        tolerance: Tolerance {
            rtol: expect.rtol,
            atol: expect.atol,
        },
        first,
    })))
}

/// Compares the manifest's expected rows with the predictions of its versions.
///
/// # Errors
/// Errors of Cassandra and of ONNX Runtime; the inner error is what differs, or cannot be read.
pub async fn check_rows(
    store: &Store,
    manifest: &Manifest,
    aliases: &BTreeMap<String, i32>,
    job: &CompiledJob,
) -> Result<Result<(), Vec<Problem>>, Failure> {
    check_planned_rows(store, manifest, (aliases, job), &ModelFiles::new()).await
}

/// As [`check_rows`]; models with a file here need not be stored yet.
///
/// # Errors
/// As [`check_rows`].
pub async fn check_planned_rows(
    store: &Store,
    manifest: &Manifest,
    (aliases, job): (&BTreeMap<String, i32>, &CompiledJob),
    files: &ModelFiles,
) -> Result<Result<(), Vec<Problem>>, Failure> {
    let expected = match read_rows(store, manifest, aliases, job).await? {
        Ok(Some(expected)) => expected,
        Ok(None) => return Ok(Ok(())),
        Err(problems) => return Ok(Err(problems)),
    };
    let problems = expected.differences(store, job, files).await?;
    Ok(match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    })
}

impl Expected {
    /// Returns a digest of the source's content for the rows. While it stays the same, rows that
    /// differed differ again.
    pub fn digest(&self) -> Vec<u8> {
        let mut read = Vec::new();
        for (_, cells) in &self.rows {
            read.push(u8::from(cells.is_some()));
            for cell in cells.iter().flat_map(|cells| cells.row(0)) {
                push_cell(&mut read, cell);
            }
        }
        xxh3_128(&read).to_be_bytes().to_vec()
    }

    /// Returns a problem for each row whose result differs under a version that the row is about;
    /// at most the first ten.
    ///
    /// # Errors
    /// Errors of Cassandra and of ONNX Runtime.
    pub async fn differences(
        &self,
        store: &Store,
        job: &CompiledJob,
        files: &ModelFiles,
    ) -> Result<Vec<Problem>, Failure> {
        let mut problems = Vec::new();
        for version in &job.versions {
            let rows = self.rows.iter();
            let asked: Vec<_> = rows
                .filter(|(row, _)| row.is_about(version, self.first))
                .collect();
            if !asked.is_empty() {
                let scorer = (store, files);
                problems.extend(check_version(scorer, job, version, &asked, self.tolerance).await?);
            }
        }
        let more = problems.len().saturating_sub(TOLD);
        problems.truncate(TOLD);
        if more > 0 {
            problems.push(Problem::new(DIFFERS, format!("{more} more rows differ")).at("expect"));
        }
        Ok(problems)
    }
}

/// Returns a problem for each row whose result differs under this version.
async fn check_version(
    (store, files): (&Store, &ModelFiles),
    job: &CompiledJob,
    version: &CompiledVersion,
    asked: &[&(ExpectedRow, Option<CellBuffer>)],
    tolerance: Tolerance,
) -> Result<Vec<Problem>, Failure> {
    let mut batch = TypedRows::new(version);
    let mut scratch = Vec::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (_, cells) in asked {
        let Some(cells) = cells else {
            verdicts.push(Verdict::NoRow);
            continue;
        };
        let cells: Vec<Option<&[u8]>> = cells.row(0).collect();
        let (_, appended) = hash::append_row(version, &cells, &mut batch, &mut scratch);
        verdicts.push(match appended {
            Ok(()) => Verdict::Row(batch.rows() - 1),
            Err(rejection) => Verdict::Rejected(rejection.to_string()),
        });
    }
    let scored = score(store, files, version, batch).await?;
    let mut problems = Vec::new();
    for ((row, _), verdict) in asked.iter().zip(verdicts) {
        let wrong = verdict.differences(job, version, row, &scored, tolerance);
        if !wrong.is_empty() {
            let message = format!(
                "{}: {}{}",
                named(job, row),
                wrong.join("; "),
                match job.versions.len() {
                    1 => String::new(),
                    _ => format!(", under version {}", version.ready.version),
                }
            );
            problems.push(
                Problem::new(DIFFERS, message)
                    .at(format!("expect, line {}", row.line))
                    .help(help(version, row)),
            );
        }
    }
    Ok(problems)
}

/// Returns a hint about the likely cause and what to do.
fn help(version: &CompiledVersion, row: &ExpectedRow) -> String {
    let features =
        "do the columns feed the features that they are named for, in this version's units?";
    if version.ordered_by_manifest.is_empty() {
        return features.to_owned();
    }
    let number = version.ready.version;
    let own = match row.version {
        Some(_) => String::new(),
        None => format!(
            " Where version {number} rightly says something else, say which version each row is about: add a column model_version."
        ),
    };
    format!(
        "{features} Was version {number} trained on its features in the order that [wide] gives?{own}"
    )
}

enum Verdict {
    NoRow,
    Rejected(String),
    /// The row's index in the batch.
    Row(usize),
}

impl Verdict {
    fn differences(
        self,
        job: &CompiledJob,
        version: &CompiledVersion,
        expected: &ExpectedRow,
        scored: &ScoredRows,
        tolerance: Tolerance,
    ) -> Vec<String> {
        let rejected = |reason: String| match expected.rejected {
            Some(true) => Vec::new(),
            _ => vec![format!("is rejected ({reason})")],
        };
        let row = match self {
            Self::NoRow => return vec!["the source has no such row".to_owned()],
            Self::Rejected(reason) => return rejected(reason),
            Self::Row(row) => row,
        };
        if let Some(reason) = scored.reason(row) {
            return rejected(reason.to_owned());
        }
        let at = scored.output_row(row);
        let mut cells = CellBuffer::new(job.target.outputs.len());
        if let Err(rejection) = outputs::encode(version, &scored.outputs, at, &mut cells) {
            return rejected(rejection.to_string());
        }
        if expected.rejected == Some(true) {
            return vec!["is not rejected".to_owned()];
        }
        let signature = &version.ready.admitted.signature;
        let tied = |label| tolerance.label_ties(signature, label, &scored.outputs, at);
        expect::differences(job, version, expected, &cells, tolerance, tied)
    }
}

async fn score(
    store: &Store,
    files: &ModelFiles,
    version: &CompiledVersion,
    rows: TypedRows,
) -> Result<ScoredRows, Failure> {
    let pool = models::load_planned(store, std::slice::from_ref(version), 1, files).await?;
    let scored = predict::score((&pool, 0), rows).await;
    models::unload(pool).await;
    scored.map_err(|error| Failure::system(Problem::new("scorer.failed", error.to_string())))
}

/// Formats the row's key for users.
fn named(job: &CompiledJob, row: &ExpectedRow) -> String {
    if let Some(file) = &row.file {
        return format!("file {file}");
    }
    let mut text = String::new();
    for (column, bytes) in job.key.iter().zip(&row.key) {
        let separator = if text.is_empty() { "" } else { ", " };
        let value = literal::to_text(&column.cql_type, bytes);
        // Writing to a String never fails.
        let _ = write!(text, "{separator}{} = {value}", column.name);
    }
    text
}
