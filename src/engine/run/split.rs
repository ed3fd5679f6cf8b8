//! Runs one split, from its first page to its last acknowledged write: scan → decode → score →
//! write.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use tokio::task::JoinSet;

use super::{
    context::RunContext,
    lane::Lane,
    source::Reading,
    spent::Stage,
    split_error::SplitError,
    stored::Orphans,
    tally::Tally,
    walk::{Arrived, Sink, SourceRow, Walk},
    write,
};
use crate::{
    codec::ring::TokenRange,
    domain::model::tensor::{Element, TensorData},
    engine::predict::{Batch, Predicted, profile::SplitCounts},
    store::{
        driver::{budget::Reader, fenced_lease::Fence},
        predictions::selects::Carry,
    },
};

/// Batches of one split that are scored or written at a time: one while the next is collected, and
/// one spare.
const LANES: usize = 2;

/// Scores the pending rows of a split, or all rows with `rewrite`.
///
/// After an error, nothing may be sent for the split under the same epoch again.
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
            Some(current) if current.copies => Carry::Whole,
            _ => Carry::Hash,
        },
        ..Reading::default()
    };
    let walked = walk.run(&reading, &mut chain).await;
    // Whatever happened, the writes in flight must complete before the split is finished or
    // released.
    let tally = chain.finish().await;
    let (counts, mut tally) = (walked?, tally?);
    context.rows.walked(&counts);
    tally.counts.add(&counts);
    Ok(tally)
}

/// The lanes between the walk and Cassandra.
struct Chain<'c> {
    context: &'c Arc<RunContext>,
    epoch: i32,
    fence: &'c Fence,
    /// Lanes that are being scored or written.
    tasks: JoinSet<Result<Lane, SplitError>>,
    idle: Vec<Lane>,
    /// Reserves row memory for those batches.
    rows: Reader,
    /// What was counted, if the run is profiled.
    counted: Option<SplitCounts>,
    /// Receives the values that are counted.
    values: TensorData,
}

impl<'c> Chain<'c> {
    fn new(context: &'c Arc<RunContext>, epoch: i32, fence: &'c Fence) -> Self {
        Self {
            context,
            epoch,
            fence,
            tasks: JoinSet::new(),
            idle: Vec::new(),
            rows: context.store.row_budget().reader(),
            counted: context
                .profiling
                .as_ref()
                .map(|profiling| SplitCounts::new(&profiling.layout.plan)),
            values: TensorData::new(Element::Float),
        }
    }

    /// Waits for a lane to become idle.
    async fn join_next(&mut self) -> Result<(), SplitError> {
        let asked = Instant::now();
        match self.tasks.join_next().await {
            None => {}
            Some(Ok(lane)) => self.idle.push(lane?),
            // A panic is a bug: this process must not continue the run.
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
        tally.profile = self.counted.map(|counted| counted.profile);
        if let Some(profile) = &mut tally.profile {
            let versions = self.context.job.versions.iter();
            for (version, profile) in versions.zip(&mut profile.versions) {
                if let Some(outputs) = tally.outputs.remove(&version.ready.version) {
                    outputs.add_to(&mut profile.outputs);
                }
            }
        }
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

    fn visited(&mut self, row: &SourceRow<'_>) -> bool {
        let hash = row.hash();
        let (Some(profiling), Some(counted)) = (&self.context.profiling, &mut self.counted) else {
            return false;
        };
        let job = &self.context.job;
        profiling
            .layout
            .visit(counted, &mut self.values, job, row.cells, hash)
    }

    async fn push(&mut self, batch: &mut Batch) -> Result<(), SplitError> {
        let mut lane = self.idle_lane().await?;
        let asked = Instant::now();
        let held = self.rows.take(batch.byte_len()).await;
        self.context.progress.spent.end(Stage::Handing, asked);
        if !self.fence.may_send() {
            return Err(SplitError::Fenced);
        }
        lane.batch.clear();
        std::mem::swap(&mut lane.batch, batch);
        lane.batch.hold(held);
        let (context, fence, epoch) = (Arc::clone(self.context), self.fence.clone(), self.epoch);
        self.tasks.spawn(async move {
            let began = Instant::now();
            lane.score(&context).await?;
            let scored = context.progress.spent.end(Stage::Scoring, began);
            write::write(&context, &mut lane, epoch, &fence).await?;
            lane.batch.release();
            context.progress.spent.end(Stage::Writing, scored);
            let sum =
                |of: fn(&Predicted) -> usize| lane.versions.iter().map(of).sum::<usize>() as u64;
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

    async fn orphaned(&mut self, orphans: &Orphans) -> Result<(), SplitError> {
        Ok(write::delete_orphans(self.context, orphans, self.epoch, self.fence).await?)
    }
}
