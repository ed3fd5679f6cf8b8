//! Queues that score whatever waits in one call, and never wait for more.
//!
//! A call of ONNX Runtime costs far more than a row, so under load the rows of many requests share
//! one call. Without load a request is scored at once.

use std::{future::Future, sync::Arc};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::{error::ApiError, models::LoadedPool};
use crate::{
    codec::cells::CellBuffer,
    domain::job::CompiledJob,
    engine::predict::{Batch, Predicted, predict},
    scorer::pool::ScoreError,
};

/// Requests taken from a queue at a time.
const TAKEN: usize = 64;
/// Rows of one call of the model.
pub const CALL_ROWS: usize = 512;

/// Scores the items that wait in a queue.
pub trait Work: Send + 'static {
    type Item: Send + 'static;

    /// Answers all items; each has its own way to be answered.
    fn work(&mut self, items: &mut Vec<Self::Item>) -> impl Future<Output = ()> + Send;
}

/// A bounded queue with its workers, which end when it is dropped.
#[derive(Debug)]
pub struct Queue<T> {
    sender: mpsc::Sender<T>,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts one task for each worker. `places`: items that may wait.
    pub fn start<W: Work<Item = T>>(places: usize, workers: impl Iterator<Item = W>) -> Self {
        let (sender, receiver) = mpsc::channel(places);
        let receiver = Arc::new(Mutex::new(receiver));
        for mut worker in workers {
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move {
                let mut items = Vec::with_capacity(TAKEN);
                // Waiting while holding the lock is as good as waiting for it.
                while receiver.lock().await.recv_many(&mut items, TAKEN).await > 0 {
                    worker.work(&mut items).await;
                    items.clear();
                }
            });
        }
        Self { sender }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// 429 if the queue is full; `what` names it.
    pub fn push(&self, item: T, what: &str) -> Result<(), ApiError> {
        self.sender
            .try_send(item)
            .map_err(|_| ApiError::overloaded(what))
    }
}

/// Splits items into calls of at most [`CALL_ROWS`] rows; a longer item has a call of its own.
pub fn calls<T>(items: &mut Vec<T>, rows: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut calls: Vec<Vec<T>> = Vec::new();
    let mut open = 0;
    for item in items.drain(..) {
        let more = rows(&item);
        match calls.last_mut() {
            Some(call) if open + more <= CALL_ROWS => {
                open += more;
                call.push(item);
            }
            _ => {
                open = more;
                calls.push(vec![item]);
            }
        }
    }
    calls
}

/// Source rows of one request, at most [`CALL_ROWS`].
pub struct ScoreItem {
    /// The job's columns of each row, in the job's order.
    pub rows: CellBuffer,
    pub reply: oneshot::Sender<Result<ScoredRows, ScoreError>>,
}

/// The predictions of a request's rows, in their order.
#[derive(Debug)]
pub struct ScoredRows {
    /// Output cells in the table's order, one row for each row that was scored.
    pub cells: CellBuffer,
    pub rows: Vec<RowOutcome>,
}

/// The prediction of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOutcome {
    pub input_hash: u128,
    pub source_hash: u128,
    /// Index into [`ScoredRows::cells`], or why the row is rejected.
    pub outcome: Result<usize, String>,
}

/// Scores source rows with one version of a job, through the function that runs use.
pub struct RowScorer {
    /// The job with this one version.
    job: Arc<CompiledJob>,
    pool: Arc<LoadedPool>,
    batch: Batch,
    predicted: Predicted,
    scratch: Vec<u8>,
}

impl RowScorer {
    /// Returns a worker for the job's only version.
    pub fn new(job: Arc<CompiledJob>, pool: Arc<LoadedPool>) -> Self {
        Self {
            batch: Batch::new(&job),
            predicted: Predicted::new(&job.versions[0]),
            scratch: Vec::new(),
            job,
            pool,
        }
    }

    fn offer(&mut self, rows: &CellBuffer) {
        let key = self.job.key.len();
        let mut cells = vec![None; key];
        for row in 0..rows.rows() {
            cells.truncate(key);
            cells.extend(rows.row(row));
            let mut counts = crate::domain::run::Counts::default();
            self.batch.offer(
                &self.job,
                &cells,
                true,
                None,
                &mut counts,
                &mut self.scratch,
            );
        }
    }

    /// Scores the rows of these items in one call.
    async fn call(&mut self, items: Vec<ScoreItem>) {
        self.batch.clear();
        items.iter().for_each(|item| self.offer(&item.rows));
        let version = &self.job.versions[0];
        let rows = &mut self.batch.versions[0];
        let scored = predict(
            version,
            (self.pool.pool(), 0),
            rows,
            &mut self.predicted,
            |_, _| {},
        )
        .await;
        let mut answers = Answers::new(&self.predicted, &self.batch.source_hashes);
        let mut first = 0;
        for item in items {
            let end = first + item.rows.rows();
            let answer = match &scored {
                Ok(()) => Ok(answers.take_rows(first..end)),
                Err(error) => Err(error.clone()),
            };
            first = end;
            // The caller may have given up.
            let _ = item.reply.send(answer);
        }
    }
}

impl Work for RowScorer {
    type Item = ScoreItem;

    async fn work(&mut self, items: &mut Vec<ScoreItem>) {
        items.retain(|item| !item.reply.is_closed());
        for call in calls(items, |item| item.rows.rows()) {
            self.call(call).await;
        }
    }
}

/// Hands out the predictions of a batch in the order of its rows.
pub struct Answers<'a> {
    predicted: &'a Predicted,
    source_hashes: &'a [u128],
    /// Entries of `predicted.scored` and `predicted.rejected` handed out so far.
    scored: usize,
    rejected: usize,
}

impl<'a> Answers<'a> {
    /// Begins with the first row. `source_hashes` are those of the batch's rows.
    pub fn new(predicted: &'a Predicted, source_hashes: &'a [u128]) -> Self {
        Self {
            predicted,
            source_hashes,
            scored: 0,
            rejected: 0,
        }
    }

    /// Returns the predictions of the next rows.
    pub fn take_rows(&mut self, rows: std::ops::Range<usize>) -> ScoredRows {
        let predicted = self.predicted;
        let mut answer = ScoredRows {
            cells: CellBuffer::new(predicted.cells.width()),
            rows: Vec::with_capacity(rows.len()),
        };
        for row in rows {
            let source_hash = self.source_hashes[row];
            let scored = predicted.scored.get(self.scored);
            let outcome = match scored.filter(|(scored, _)| *scored as usize == row) {
                Some((_, input_hash)) => {
                    let cells = predicted.cells.row(self.scored);
                    cells.for_each(|cell| answer.cells.push(cell));
                    self.scored += 1;
                    RowOutcome {
                        input_hash: *input_hash,
                        source_hash,
                        outcome: Ok(answer.cells.rows() - 1),
                    }
                }
                None => {
                    let rejected = &predicted.rejected[self.rejected];
                    self.rejected += 1;
                    RowOutcome {
                        input_hash: rejected.input_hash,
                        source_hash,
                        outcome: Err(rejected.reason.clone()),
                    }
                }
            };
            answer.rows.push(outcome);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_keep_the_order_and_the_limit_and_a_long_item_has_its_own() {
        let grouped = |sizes: &[usize]| calls(&mut sizes.to_vec(), |size| *size);
        assert_eq!(grouped(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(grouped(&[1, 2, 3]), [vec![1, 2, 3]]);
        assert_eq!(grouped(&[500, 12, 1]), [vec![500, 12], vec![1]]);
        assert_eq!(grouped(&[1, 9_000, 1]), [vec![1], vec![9_000], vec![1]]);
    }
}
