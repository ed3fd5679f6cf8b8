//! One split, from its first page to its last acknowledged write: scan → decode → score → write.

use std::sync::{Arc, atomic::AtomicBool};

use tokio::task::JoinSet;

use super::{
    batch::{Batch, RejectedRow},
    context::RunContext,
    lease::Fence,
    walk::{Sink, Walk},
    write::{self, Tally, VersionOutcome, WriteError},
};
use crate::{
    domain::{
        ring::TokenRange,
        tensor::{InputBatch, OutputBatch},
    },
    metrics,
    scorer::pool::ScoreError,
    store::error::StoreError,
};

/// Batches of one split that are being scored or written at a time: one while the next is
/// gathered, and one to spare.
const IN_FLIGHT: usize = 2;

/// Why a split did not end.
#[derive(Debug)]
pub enum SplitError {
    /// The lease was lost: somebody else goes on.
    Fenced,
    /// The process was asked to stop.
    Stopped,
    /// Cassandra; another attempt needs a new epoch.
    Store(StoreError),
    /// The model failed in a way that no row explains.
    Score(ScoreError),
}

impl From<StoreError> for SplitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<WriteError> for SplitError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Stopped => Self::Stopped,
            WriteError::Store(error) => Self::Store(error),
        }
    }
}

impl std::fmt::Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fenced => f.write_str("the lease was lost"),
            Self::Stopped => f.write_str("stopped on request"),
            Self::Store(error) => error.fmt(f),
            Self::Score(error) => error.fmt(f),
        }
    }
}

/// Scores the rows of a split that are pending, or all with `rewrite`.
///
/// Nothing may be sent for the split again under the same epoch after this ended in an error.
pub async fn score(
    context: &Arc<RunContext>,
    range: Option<TokenRange>,
    epoch: i32,
    rewrite: bool,
    fence: &Fence,
    stop: &AtomicBool,
) -> Result<Tally, SplitError> {
    let walk = Walk {
        store: &context.store,
        job: &context.job,
        range,
        keys: &context.keys,
        rewrite,
        unfinished: &context.unfinished,
        batch_rows: context.batch_rows,
        stop,
    };
    let mut chain = Chain::new(context, epoch, fence);
    let walked = walk.run(&mut chain).await;
    // Whatever happened, what was sent arrives before the split is finished or given up.
    let tally = chain.finish().await;
    let (walked, mut tally) = (walked?, tally?);
    if let Some(orphans) = &walked.orphans {
        write::delete_orphans(context, orphans, epoch, fence).await?;
    }
    metrics::rows(&context.run.job, &walked.counts);
    tally.counts.add(&walked.counts);
    Ok(tally)
}

/// Batches on their way through scorer and writer.
struct Chain<'c> {
    context: &'c Arc<RunContext>,
    epoch: i32,
    fence: &'c Fence,
    tasks: JoinSet<Result<Tally, SplitError>>,
    tally: Tally,
}

impl<'c> Chain<'c> {
    fn new(context: &'c Arc<RunContext>, epoch: i32, fence: &'c Fence) -> Self {
        Self {
            context,
            epoch,
            fence,
            tasks: JoinSet::new(),
            tally: Tally::default(),
        }
    }

    async fn join_next(&mut self) -> Result<(), SplitError> {
        match self.tasks.join_next().await {
            None => Ok(()),
            Some(Ok(tally)) => {
                self.tally.add(tally?);
                Ok(())
            }
            // A panic of our own: the process is not to be trusted with this run.
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn finish(mut self) -> Result<Tally, SplitError> {
        while !self.tasks.is_empty() {
            self.join_next().await?;
        }
        Ok(self.tally)
    }
}

impl Sink for Chain<'_> {
    fn arrived(&self, rows: usize) {
        self.context.progress.read(rows);
    }

    async fn push(&mut self, batch: Batch) -> Result<(), SplitError> {
        while self.tasks.len() >= IN_FLIGHT {
            self.join_next().await?;
        }
        if !self.fence.may_send() {
            return Err(SplitError::Fenced);
        }
        let (context, fence, epoch) = (Arc::clone(self.context), self.fence.clone(), self.epoch);
        self.tasks.spawn(async move {
            let (batch, outcomes) = score_versions(&context, batch).await?;
            let tally = write::write(&context, &batch, outcomes, epoch, &fence).await?;
            context.progress.wrote(&tally.counts);
            metrics::rows(&context.run.job, &tally.counts);
            Ok(tally)
        });
        Ok(())
    }
}

/// Every version's model over its rows of the batch.
async fn score_versions(
    context: &RunContext,
    mut batch: Batch,
) -> Result<(Batch, Vec<VersionOutcome>), SplitError> {
    let mut outcomes = Vec::with_capacity(batch.versions.len());
    for (at, rows) in batch.versions.iter_mut().enumerate() {
        let mut rejected = std::mem::take(&mut rows.rejected);
        let mut scored: Vec<_> = std::mem::take(&mut rows.rows)
            .into_iter()
            .zip(std::mem::take(&mut rows.hashes))
            .collect();
        let inputs = std::mem::replace(&mut rows.inputs, InputBatch::new(&[]));
        if inputs.rows == 0 {
            outcomes.push(VersionOutcome {
                outputs: OutputBatch {
                    rows: 0,
                    outputs: Vec::new(),
                },
                scored,
                rejected,
            });
            continue;
        }
        let result = context
            .scorer
            .score(at, inputs)
            .await
            .map_err(SplitError::Score)?;
        for (row, reason) in result.refused.iter().rev() {
            let (row, input_hash) = scored.remove(*row);
            rejected.push(RejectedRow {
                row,
                input_hash,
                reason: format!("refused: {reason}"),
            });
        }
        outcomes.push(VersionOutcome {
            outputs: result.outputs,
            scored,
            rejected,
        });
    }
    Ok((batch, outcomes))
}
