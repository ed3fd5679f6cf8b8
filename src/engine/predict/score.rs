//! Scores rows, after preparing what of them is prepared.
//!
//! Preparing (decoding above all) may cost as much as the model, so a batch's rows are prepared by
//! all processors at once, while other batches are scored, read and written. A process prepares as
//! many rows at a time as it has processors, however many batches wait. Where models are isolated,
//! further processes prepare, so that a defect of a decoder does no more harm than one of a model.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use futures::future::join_all;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::TENSOR_BYTES;
use crate::{
    domain::{
        job::{
            outputs::ScoredRow,
            prepare::{PreparedPart, TypedRows, Unprepared},
            rejection::Rejection,
        },
        model::tensor::OutputBatch,
    },
    scorer::{
        pool::{Pool, ScoreError},
        preparers::Preparers,
    },
};

/// Rows of a batch that are prepared one after the other by one thread.
const ROWS_AT_ONCE: usize = 4;

static PROCESSORS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Rows that were scored, or rejected on the way.
#[derive(Debug)]
pub struct ScoredRows {
    /// Outputs of the rows that are not rejected, in order.
    pub outputs: OutputBatch,
    /// The other rows by index, ascending, each with the text for `lineage.rejected`.
    pub rejected: Vec<(usize, String)>,
    /// How many of `rejected`, by index, could not be prepared: they are not in `rows`.
    unprepared: Vec<usize>,
    /// What the model was given.
    pub rows: TypedRows,
}

impl ScoredRows {
    /// Returns the rows that are not rejected, by index, ascending.
    pub fn accepted(&self) -> impl Iterator<Item = usize> + '_ {
        let mut rejected = self.rejected.iter().map(|(row, _)| *row).peekable();
        let rows = self.rows.rows() + self.unprepared.len();
        (0..rows).filter(move |row| rejected.next_if_eq(row).is_none())
    }

    /// Returns a row that is not rejected.
    pub fn row(&self, row: usize) -> ScoredRow<'_> {
        ScoredRow {
            inputs: &self.rows.tensors,
            input_row: self.tensor_row(row),
            outputs: &self.outputs,
            row: self.output_row(row),
        }
    }

    /// Returns the index in the tensors of `rows` of a row that is not rejected.
    pub fn tensor_row(&self, row: usize) -> usize {
        row - self.unprepared.partition_point(|gone| *gone < row)
    }

    /// Returns the index in `outputs` of a row that is not rejected.
    pub fn output_row(&self, row: usize) -> usize {
        row - self.rejected.partition_point(|(gone, _)| *gone < row)
    }

    /// Returns why a row is rejected.
    pub fn reason(&self, row: usize) -> Option<&str> {
        let at = self.rejected.binary_search_by_key(&row, |(gone, _)| *gone);
        at.ok().map(|at| self.rejected[at].1.as_str())
    }
}

/// Prepares and scores rows of the version at index `at` of the pool.
///
/// # Errors
/// The model could not score the rows; they are lost.
pub async fn score(
    (pool, at): (&Pool, usize),
    mut rows: TypedRows,
) -> Result<ScoredRows, ScoreError> {
    let unprepared: Vec<(usize, String)> = prepare(pool.preparers(), &mut rows)
        .await?
        .into_iter()
        .map(|(row, rejection)| (row, rejection.to_string()))
        .collect();
    let mut outputs = OutputBatch::default();
    let mut refused = Vec::new();
    if rows.rows() > 0 {
        let inputs = std::mem::take(&mut rows.tensors);
        let answer = pool.score(at, inputs).await?;
        rows.tensors = answer.inputs;
        (outputs, refused) = (answer.outputs, answer.refused);
    }
    let gone: Vec<usize> = unprepared.iter().map(|(row, _)| *row).collect();
    let mut rejected = unprepared;
    rejected.extend(
        refused
            .into_iter()
            .map(|(row, reason)| (before_removal(row, &gone), format!("refused: {reason}"))),
    );
    rejected.sort_by_key(|(row, _)| *row);
    Ok(ScoredRows {
        outputs,
        rejected,
        unprepared: gone,
        rows,
    })
}

/// Returns how many rows are prepared at once: no more than twice [`TENSOR_BYTES`] of prepared
/// tensors exist at a time.
pub(super) fn rows_at_once(rows: &TypedRows) -> usize {
    let most = (2 * TENSOR_BYTES).checked_div(rows.prepared_row_bytes());
    most.unwrap_or(usize::MAX).max(1)
}

/// Returns the index that a row had before the rows `gone`, ascending, were removed.
fn before_removal(mut row: usize, gone: &[usize]) -> usize {
    for removed in gone {
        if *removed > row {
            break;
        }
        row += 1;
    }
    row
}

/// Prepares the rows' cells that wait for it, and removes the rows that cannot be. Returns those by
/// index before the removal, ascending. Without `preparers`, this process prepares them.
///
/// # Errors
/// As [`Preparers::prepare`]; the rows are lost.
pub async fn prepare(
    preparers: Option<&Preparers>,
    rows: &mut TypedRows,
) -> Result<Vec<(usize, Rejection)>, ScoreError> {
    let Some(unprepared) = rows.take_unprepared() else {
        return Ok(Vec::new());
    };
    let unprepared = Arc::new(unprepared);
    let all = unprepared.rows();
    let parts = (0..all).step_by(ROWS_AT_ONCE).map(|from| {
        let (unprepared, range) = (&unprepared, from..(from + ROWS_AT_ONCE).min(all));
        async move {
            match preparers {
                Some(preparers) => preparers.prepare(unprepared, range).await,
                None => Ok(part(Arc::clone(unprepared), range).await),
            }
        }
    });
    let parts: Result<Vec<PreparedPart>, ScoreError> = join_all(parts).await.into_iter().collect();
    Ok(rows.finish(parts?))
}

async fn part(unprepared: Arc<Unprepared>, rows: std::ops::Range<usize>) -> PreparedPart {
    // The semaphore is never closed.
    let _permit = PROCESSORS.acquire().await.ok();
    let range = rows.clone();
    let shared = Arc::clone(&unprepared);
    match spawn_blocking(move || shared.prepare(range)).await {
        Ok(part) => part,
        // A panic, or the runtime is shutting down and nobody will see the result.
        Err(error) => unprepared.fail(rows, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_index_whatever_was_removed() {
        assert_eq!(before_removal(0, &[]), 0);
        assert_eq!(before_removal(0, &[0, 1]), 2);
        assert_eq!(before_removal(1, &[0, 2]), 3);
        assert_eq!(before_removal(2, &[1, 9]), 3);
        let scored = ScoredRows {
            outputs: OutputBatch::default(),
            rejected: vec![(1, "a".into()), (3, "b".into())],
            unprepared: vec![1],
            rows: TypedRows::default(),
        };
        assert_eq!((scored.tensor_row(4), scored.output_row(4)), (3, 2));
        assert_eq!((scored.reason(3), scored.reason(4)), (Some("b"), None));
    }
}
