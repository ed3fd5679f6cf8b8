//! One split, from its first page to its last acknowledged write: scan → decode → score → write.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use tokio::task::JoinSet;

use super::{
    batch::Batch,
    context::RunContext,
    lane::{Encoded, Lane},
    lease::Fence,
    source::Reading,
    spent::Stage,
    tally::Tally,
    walk::{Arrived, Sink, Walk},
    write::{self, WriteError},
};
use crate::{
    domain::ring::TokenRange,
    scorer::pool::ScoreError,
    store::{error::StoreError, selects::Carry},
};

/// Batches of one split that are being scored or written at a time: one while the next is
/// gathered, and one to spare.
const LANES: usize = 2;

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
    let reading = Reading {
        carry: match context.run.current {
            Some(current) if current.copies => Carry::Whole(current.version),
            _ => Carry::Hash,
        },
        ..Reading::default()
    };
    let walked = walk.run(&reading, &mut chain).await;
    // Whatever happened, what was sent arrives before the split is finished or given up.
    let tally = chain.finish().await;
    let (walked, mut tally) = (walked?, tally?);
    if let Some(orphans) = &walked.orphans {
        write::delete_orphans(context, orphans, epoch, fence).await?;
    }
    context.rows.walked(&walked.counts);
    tally.counts.add(&walked.counts);
    Ok(tally)
}

/// Lanes between the walk and Cassandra.
struct Chain<'c> {
    context: &'c Arc<RunContext>,
    epoch: i32,
    fence: &'c Fence,
    /// Those that are scored or written now.
    tasks: JoinSet<Result<Lane, SplitError>>,
    idle: Vec<Lane>,
}

impl<'c> Chain<'c> {
    fn new(context: &'c Arc<RunContext>, epoch: i32, fence: &'c Fence) -> Self {
        Self {
            context,
            epoch,
            fence,
            tasks: JoinSet::new(),
            idle: Vec::new(),
        }
    }

    /// A lane comes back.
    async fn join_next(&mut self) -> Result<(), SplitError> {
        let asked = Instant::now();
        match self.tasks.join_next().await {
            None => {}
            Some(Ok(lane)) => self.idle.push(lane?),
            // A panic of our own: the process is not to be trusted with this run.
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
        self.context.progress.spent.end(Stage::Handing, asked);
        Ok(())
    }

    async fn idle_lane(&mut self) -> Result<Lane, SplitError> {
        if self.idle.is_empty() && self.tasks.len() < LANES {
            return Ok(Lane::new(self.context));
        }
        loop {
            if let Some(lane) = self.idle.pop() {
                return Ok(lane);
            }
            self.join_next().await?;
        }
    }

    async fn finish(mut self) -> Result<Tally, SplitError> {
        while !self.tasks.is_empty() {
            self.join_next().await?;
        }
        let mut tally = Tally::default();
        self.idle.into_iter().for_each(|lane| tally.add(lane.tally));
        Ok(tally)
    }
}

impl Sink for Chain<'_> {
    fn arrived(&self, page: &Arrived) {
        self.context.progress.read(page.rows);
        self.context.progress.spent.add(Stage::Reading, page.waited);
        self.context
            .progress
            .spent
            .add(Stage::Decoding, page.decoded);
    }

    async fn push(&mut self, batch: &mut Batch) -> Result<(), SplitError> {
        let mut lane = self.idle_lane().await?;
        if !self.fence.may_send() {
            return Err(SplitError::Fenced);
        }
        lane.batch.clear();
        std::mem::swap(&mut lane.batch, batch);
        let (context, fence, epoch) = (Arc::clone(self.context), self.fence.clone(), self.epoch);
        self.tasks.spawn(async move {
            let began = Instant::now();
            lane.score(&context).await?;
            let scored = context.progress.spent.end(Stage::Scoring, began);
            write::write(&context, &mut lane, epoch, &fence).await?;
            context.progress.spent.end(Stage::Writing, scored);
            let sum =
                |of: fn(&Encoded) -> usize| lane.versions.iter().map(of).sum::<usize>() as u64;
            let (scored, rejected) = (
                sum(|version| version.scored.len()),
                sum(|version| version.rejected.len()),
            );
            context.progress.wrote(scored, rejected);
            context.rows.wrote(scored, rejected);
            Ok(lane)
        });
        Ok(())
    }
}
