//! Scoring expected rows through the real mapping, before anything is made.

use std::{collections::BTreeMap, fmt::Write};

use futures::{StreamExt, TryStreamExt};

use crate::{
    domain::{
        cells::CellBuffer,
        expect::{self, ExpectedRow},
        hash,
        job::{CompiledJob, CompiledVersion},
        literal,
        manifest::Manifest,
        outputs,
        problem::Problem,
        tensor::InputBatch,
        tolerance::Tolerance,
    },
    failure::Failure,
    scorer::pool::Scored,
    store::{
        Store,
        raw::{Page, push_cell},
        selects,
    },
    worker::models,
};

/// The code of a row that is not what it should be.
pub(super) const DIFFERS: &str = "job.expect_differs";

/// Source rows read at a time.
const READS: usize = 16;
/// Differences told.
const TOLD: usize = 10;

/// Holds the manifest's expected rows against what its versions say of them.
///
/// # Errors
/// Cassandra's and ONNX Runtime's; the inner error is what differs, or cannot be read.
pub async fn check_rows(
    store: &Store,
    manifest: &Manifest,
    aliases: &BTreeMap<String, i32>,
    job: &CompiledJob,
) -> Result<Result<(), Vec<Problem>>, Failure> {
    let Some(expect) = &manifest.expect else {
        return Ok(Ok(()));
    };
    let Some(text) = &expect.rows else {
        return Ok(Ok(()));
    };
    let tolerance = Tolerance {
        rtol: expect.rtol,
        atol: expect.atol,
    };
    let first = manifest.first_version(aliases);
    let rows = match expect::read(text, job, first) {
        Ok(rows) => rows,
        Err(problems) => return Ok(Err(problems)),
    };
    let select = selects::source_key(job);
    let pages: Vec<(ExpectedRow, Page)> = futures::stream::iter(rows)
        .map(|row| {
            let select = &select;
            async move {
                let mut key = Vec::new();
                row.key
                    .iter()
                    .for_each(|cell| push_cell(&mut key, Some(cell)));
                Ok::<_, Failure>((row, store.by_key(select, &key).await?))
            }
        })
        .buffered(READS)
        .try_collect()
        .await?;
    let mut problems = Vec::new();
    for version in &job.versions {
        let asked: Vec<&(ExpectedRow, Page)> = pages
            .iter()
            .filter(|(row, _)| row.version == version.ready.version)
            .collect();
        if !asked.is_empty() {
            problems.extend(check_version(store, job, version, &asked, tolerance).await?);
        }
    }
    let more = problems.len().saturating_sub(TOLD);
    problems.truncate(TOLD);
    if more > 0 {
        problems.push(Problem::new(DIFFERS, format!("{more} more rows differ")).at("expect"));
    }
    Ok(match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    })
}

/// A problem for each row that is not what it should be.
async fn check_version(
    store: &Store,
    job: &CompiledJob,
    version: &CompiledVersion,
    asked: &[&(ExpectedRow, Page)],
    tolerance: Tolerance,
) -> Result<Vec<Problem>, Failure> {
    let signature = &version.ready.admitted.signature;
    let mut batch = InputBatch::new(&signature.inputs);
    let mut scratch = Vec::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (_, page) in asked {
        if page.rows() == 0 {
            verdicts.push(Verdict::NoRow);
            continue;
        }
        let cells: Vec<Option<&[u8]>> = page.row(0).skip(job.key.len()).collect();
        let (_, appended) = hash::append_row(version, &cells, &mut batch, &mut scratch);
        verdicts.push(match appended {
            Ok(()) => Verdict::Row(batch.rows - 1),
            Err(rejection) => Verdict::Rejected(rejection.to_string()),
        });
    }
    let scored = score(store, version, batch).await?;
    let mut problems = Vec::new();
    for ((row, _), verdict) in asked.iter().zip(verdicts) {
        let wrong = verdict.differences(job, version, row, &scored, tolerance);
        if !wrong.is_empty() {
            problems.push(
                Problem::new(DIFFERS, format!("{}: {}", named(job, row), wrong.join("; ")))
                    .at(format!("expect, line {}", row.line))
                    .help("do the columns feed the features that they are named for, in this version's units?"),
            );
        }
    }
    Ok(problems)
}

enum Verdict {
    NoRow,
    Rejected(String),
    /// By its place in the batch.
    Row(usize),
}

impl Verdict {
    fn differences(
        self,
        job: &CompiledJob,
        version: &CompiledVersion,
        expected: &ExpectedRow,
        scored: &Scored,
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
        if let Some((_, reason)) = scored.refused.iter().find(|(refused, _)| *refused == row) {
            return rejected(format!("refused: {reason}"));
        }
        // Outputs leave the refused rows out.
        let at = row
            - scored
                .refused
                .iter()
                .filter(|(refused, _)| *refused < row)
                .count();
        let mut cells = CellBuffer::new(job.target.outputs.len());
        if let Err(rejection) = outputs::encode(version, &scored.outputs, at, &mut cells) {
            return rejected(rejection.to_string());
        }
        if expected.rejected == Some(true) {
            return vec!["is not rejected".to_owned()];
        }
        let tied = tolerance.scores_tie(&version.ready.admitted.signature, &scored.outputs, at);
        expect::differences(job, expected, &cells, tolerance, tied)
    }
}

async fn score(
    store: &Store,
    version: &CompiledVersion,
    batch: InputBatch,
) -> Result<Scored, Failure> {
    let pool = models::load(store, std::slice::from_ref(version), 1).await?;
    let scored = pool.score(0, batch).await;
    models::unload(pool).await;
    scored.map_err(|error| Failure::system(Problem::new("scorer.failed", error.to_string())))
}

/// The row's key, for people.
fn named(job: &CompiledJob, row: &ExpectedRow) -> String {
    let mut text = String::new();
    for (column, bytes) in job.key.iter().zip(&row.key) {
        let separator = if text.is_empty() { "" } else { ", " };
        let value = literal::to_text(&column.cql_type, bytes);
        // Writing to a String never fails.
        let _ = write!(text, "{separator}{} = {value}", column.name);
    }
    text
}
