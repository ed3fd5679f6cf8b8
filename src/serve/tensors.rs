//! Scores requests with raw tensors: several of them in one call of the model.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    batcher::{Work, calls},
    models::{Inferred, LoadedPool},
};
use crate::{
    domain::model::tensor::{InputBatch, OutputBatch, TensorData},
    scorer::{pool::ScoreError, rows::append_inputs},
};

/// The tensors of one request.
pub struct InferItem {
    inputs: InputBatch,
    reply: oneshot::Sender<Result<Inferred, ScoreError>>,
}

impl InferItem {
    /// Returns an item and where its answer arrives.
    pub fn new(inputs: InputBatch) -> (Self, oneshot::Receiver<Result<Inferred, ScoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { inputs, reply }, answer)
    }
}

/// A worker of a model's queue.
pub struct TensorScorer {
    pool: Arc<LoadedPool>,
}

impl TensorScorer {
    /// Returns a worker.
    pub fn new(pool: &Arc<LoadedPool>) -> Self {
        Self {
            pool: Arc::clone(pool),
        }
    }

    async fn call(&self, mut items: Vec<InferItem>) {
        let counts: Vec<usize> = items.iter().map(|item| item.inputs.rows).collect();
        let mut together = std::mem::replace(&mut items[0].inputs, InputBatch::new(&[]));
        for item in &items[1..] {
            append_inputs(&mut together, &item.inputs);
        }
        let scored = self.pool.pool().score(0, together).await;
        let (mut first, mut taken) = (0, 0);
        for (item, count) in items.into_iter().zip(counts) {
            let answer = match &scored {
                Err(error) => Err(error.clone()),
                Ok(scored) => {
                    let rows = first..first + count;
                    let mine = scored.refused.iter().filter(|(row, _)| rows.contains(row));
                    let refused: Vec<_> = mine
                        .map(|(row, reason)| (row - first, reason.clone()))
                        .collect();
                    let kept = count - refused.len();
                    let outputs = part_of(&scored.outputs, taken..taken + kept);
                    taken += kept;
                    Ok(Inferred { outputs, refused })
                }
            };
            first += count;
            // The caller may have given up.
            let _ = item.reply.send(answer);
        }
    }
}

/// Returns a copy of some rows of the outputs.
fn part_of(outputs: &OutputBatch, rows: std::ops::Range<usize>) -> OutputBatch {
    let width = |len: usize| len.checked_div(outputs.rows).unwrap_or(0);
    let slice = |data: &TensorData| {
        let width = width(data.len());
        data.slice(rows.start * width..rows.end * width)
    };
    OutputBatch {
        rows: rows.len(),
        outputs: outputs.outputs.iter().map(slice).collect(),
    }
}

impl Work for TensorScorer {
    type Item = InferItem;

    async fn work(&mut self, items: &mut Vec<InferItem>) {
        items.retain(|item| !item.reply.is_closed());
        for call in calls(items, |item| item.inputs.rows) {
            self.call(call).await;
        }
    }
}
