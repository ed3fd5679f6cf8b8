//! Works on a run: claims splits, scores them, and watches those that others hold, until all are
//! done.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::seq::SliceRandom;
use tokio::task::JoinSet;

use super::{
    claim::{Claim, Claims},
    close,
    context::RunContext,
    owned,
    shared::Shared,
    slots::Seat,
    split_error::SplitError,
    stop::{Asked, Stop},
};
use crate::{
    domain::run::{Run, split_queue::SplitQueue},
    process::{boot_time, readable},
    store::{
        driver::error::StoreError,
        runs::{
            split_leases::SplitLease,
            splits::{Claimant, Split, SplitState},
        },
    },
};

/// Attempts of this process at a split before it gives up.
const ATTEMPTS: u32 = 3;
/// Processes that may vanish while they work on this split in isolation, before the run fails.
const MAX_DEATHS: i32 = 3;

/// How this process's work on a run ended.
#[derive(Debug)]
pub enum Worked {
    /// The run has ended: succeeded, failed or cancelled.
    Ended(Box<Run>),
    /// This process was asked to stop; its splits can be claimed.
    Stopped,
    /// This process can't continue; the run stays open and can be resumed.
    GaveUp(String),
}

/// Callback for status lines shown while waiting.
pub type Say = Arc<dyn Fn(String) + Send + Sync>;

/// What this process does with the splits of a run.
enum Phase {
    /// Claims and scores them.
    Working,
    /// Holds a split whose owners vanished, and claims nothing more until nothing else runs: then it
    /// runs alone, so that no other split is blamed if it crashes this process, too.
    Suspecting(SplitLease),
    /// That split runs alone.
    Isolating,
    /// The run is to be cancelled: waits until others have let their splits go.
    Cancelling,
    /// Claims nothing more; the splits that ran are stopped.
    Leaving,
}

/// Whether to go on with the run, or how it ended here.
type Flow = ControlFlow<Worked>;

/// One process's share of a run.
pub struct Work {
    context: Arc<RunContext>,
    by: Claimant,
    stop: Stop,
    seat: Seat,
    say: Say,
    queue: SplitQueue,
    running: JoinSet<(i32, Result<(), SplitError>)>,
    phase: Phase,
    /// Tells the splits that run to stop.
    stop_splits: Arc<AtomicBool>,
    /// Splits that the run's row says are done.
    done_noted: i32,
}

impl Work {
    /// Prepares to work on the context's run until it ends, or this process is asked to stop.
    pub fn new(context: Arc<RunContext>, by: Claimant, shared: &Shared, say: Say) -> Self {
        let splits = context
            .run
            .plan
            .as_ref()
            .map_or(0, |plan| plan.splits.len());
        let mut splits: Vec<i32> = (0..splits as i32).collect();
        // A random order makes workers rarely try the same split.
        splits.shuffle(&mut rand::rng());
        Self {
            by,
            stop: shared.stop.clone(),
            seat: shared.slots.seat(context.run.run_id, context.run.priority),
            context,
            say,
            queue: SplitQueue::new(splits),
            running: JoinSet::new(),
            phase: Phase::Working,
            stop_splits: Arc::default(),
            done_noted: 0,
        }
    }

    /// Works until the run has ended or this process must leave.
    ///
    /// # Errors
    /// Cassandra's errors, when the control tables can't be reached; the run can be resumed.
    #[tracing::instrument(name = "run", skip_all, fields(job = self.context.run.job, id = %self.context.run.run_id))]
    pub async fn run(mut self) -> Result<Worked, StoreError> {
        let outcome = self.until_ended().await;
        self.drain().await;
        outcome
    }

    async fn until_ended(&mut self) -> Result<Worked, StoreError> {
        let lease = self.context.store.settings().lease;
        let poll = (lease / 5).clamp(Duration::from_millis(100), Duration::from_secs(2));
        let mut ticks = tokio::time::interval(poll);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let ControlFlow::Break(worked) = self.fill().await? {
                return Ok(worked);
            }
            if self.running.is_empty() {
                if self.stop.asked() > Asked::Nothing {
                    return Ok(Worked::Stopped);
                }
                if self.queue.is_empty() && !matches!(self.phase, Phase::Cancelling) {
                    return close::close(&self.context).await;
                }
            }
            let wants = self.may_claim() && self.queue.has_next();
            self.seat.tell(self.running.len(), wants);
            let flow = tokio::select! {
                Some(ended) = self.running.join_next() => {
                    let (split, outcome) = match ended {
                        Ok(ended) => ended,
                        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                    };
                    self.ended(split, outcome).await?
                }
                _ = ticks.tick() => self.check().await?,
                () = self.seat.freed(), if wants => ControlFlow::Continue(()),
                () = self.stop.reaches(Asked::Leave) => {
                    self.drain().await;
                    ControlFlow::Break(Worked::Stopped)
                }
            };
            if let ControlFlow::Break(worked) = flow {
                return Ok(worked);
            }
        }
    }

    /// Returns whether this process may claim another split, if there is room.
    fn may_claim(&self) -> bool {
        matches!(self.phase, Phase::Working) && self.stop.asked() == Asked::Nothing
    }

    fn claims(&self) -> Claims<'_> {
        Claims {
            context: &self.context,
            by: &self.by,
            queue: &self.queue,
        }
    }

    /// Claims splits while there is room for more.
    async fn fill(&mut self) -> Result<Flow, StoreError> {
        if self.running.is_empty() {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Working) {
                Phase::Suspecting(lease) => {
                    self.start(lease);
                    Phase::Isolating
                }
                Phase::Isolating => Phase::Working,
                other => other,
            };
        }
        while self.may_claim() && self.queue.has_next() && self.seat.may_take() {
            // Claims as many splits at once as there is room for. At its start a run sends one
            // claim per split slot, and each claim takes two round trips.
            let mut next = Vec::new();
            while self.seat.may_take()
                && let Some(split) = self.queue.take()
            {
                next.push(split);
                let held = self.running.len() + next.len();
                self.seat.tell(held, self.queue.has_next());
            }
            let claims = self.claims();
            let claims = next.iter().map(|split| claims.claim_new(*split));
            let claims = futures::future::join_all(claims).await;
            // Each is handled, whatever became of the others: a lease that is dropped holds its
            // split until it expires.
            let mut flow = ControlFlow::Continue(());
            let mut failed = None;
            let mut old = Vec::new();
            for (split, claim) in next.into_iter().zip(claims) {
                match claim {
                    Ok(Claim::NotNew) => old.push(split),
                    Ok(claim) => {
                        if let ControlFlow::Break(worked) = self.claimed(split, claim).await? {
                            flow = ControlFlow::Break(worked);
                        }
                    }
                    Err(error) => {
                        self.queue.put_last(split);
                        failed = Some(error);
                    }
                }
            }
            self.seat.tell(self.running.len(), self.queue.has_next());
            if let Some(error) = failed {
                return Err(error);
            }
            if flow.is_break() {
                return Ok(flow);
            }
            for split in old {
                if !(self.may_claim() && self.seat.may_take()) {
                    self.queue.put_back(split);
                    continue;
                }
                let claim = self.claims().claim(split).await?;
                let flow = self.claimed(split, claim).await?;
                if flow.is_break() {
                    return Ok(flow);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Handles the outcome of a claim.
    async fn claimed(&mut self, split: i32, claim: Claim) -> Result<Flow, StoreError> {
        match claim {
            Claim::Done => self.queue.finish(split),
            Claim::Held(seen) => self.hold(split, &seen),
            Claim::Mine { lease, deaths } => return self.take(lease, deaths).await,
            // Unreachable from `claim`; only `claim_new` returns it.
            Claim::NotNew => self.queue.put_last(split),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn hold(&mut self, split: i32, seen: &Split) {
        let now = boot_time();
        self.queue
            .hold(split, seen.seen.clone(), &seen.process, now);
    }

    /// Starts a split that this process has claimed, or sets it aside to run in isolation.
    async fn take(&mut self, lease: SplitLease, deaths: i32) -> Result<Flow, StoreError> {
        let split = lease.id.split;
        self.queue.release(split);
        if deaths > MAX_DEATHS {
            let reason = format!(
                "crash_loop: split {split} ended {MAX_DEATHS} processes that worked on nothing else, without a word; see their logs"
            );
            self.drain().await;
            let failed = close::fail(&self.context.store, &self.context.run, &reason).await?;
            return Ok(ControlFlow::Break(failed));
        }
        if deaths == 0 {
            self.start(lease);
            return Ok(ControlFlow::Continue(()));
        }
        (self.say)(format!(
            "split {split}: its worker crashed or stopped heartbeating; re-scoring it in isolation"
        ));
        self.phase = match self.running.is_empty() {
            true => {
                self.start(lease);
                Phase::Isolating
            }
            false => Phase::Suspecting(lease),
        };
        Ok(ControlFlow::Continue(()))
    }

    fn start(&mut self, lease: SplitLease) {
        let context = Arc::clone(&self.context);
        let stop = Arc::clone(&self.stop_splits);
        let split = lease.id.split;
        self.running.spawn(async move {
            let outcome = owned::score_and_finish(&context, lease, &stop).await;
            (split, outcome)
        });
        self.seat.tell(self.running.len(), self.queue.has_next());
    }

    /// Handles the end of a split of this process, successful or not.
    async fn ended(
        &mut self,
        split: i32,
        outcome: Result<(), SplitError>,
    ) -> Result<Flow, StoreError> {
        let error = match outcome {
            Ok(()) => {
                self.queue.finish(split);
                return Ok(ControlFlow::Continue(()));
            }
            Err(SplitError::Stopped | SplitError::Fenced) => {
                self.queue.put_last(split);
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => error,
        };
        tracing::warn!(split, %error, "a split failed");
        let failures = self.queue.fail(split);
        if failures < ATTEMPTS && !error.is_hopeless() {
            return Ok(ControlFlow::Continue(()));
        }
        self.drain().await;
        // If another worker may succeed, the run stays open; if no worker can, the run fails.
        let worked = match error.may_succeed_elsewhere() {
            true => Worked::GaveUp(error.to_string()),
            false => {
                let reason = format!("split {split}: {error}");
                close::fail(&self.context.store, &self.context.run, &reason).await?
            }
        };
        Ok(ControlFlow::Break(worked))
    }

    /// Stops this process's splits and waits until they have ended.
    async fn drain(&mut self) {
        self.stop_splits.store(true, Ordering::Relaxed);
        self.context.pace.close();
        let phase = std::mem::replace(&mut self.phase, Phase::Leaving);
        if let Phase::Suspecting(lease) = phase {
            lease.release(None).await;
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Checks whether the run has ended or must be cancelled, and whether others have let splits go.
    async fn check(&mut self) -> Result<Flow, StoreError> {
        let run = &self.context.run;
        let Some(now) = self.context.store.run(&run.job, run.run_id).await? else {
            let gone = Worked::GaveUp("the run's row is gone".to_owned());
            return Ok(ControlFlow::Break(gone));
        };
        if now.state.is_terminal() {
            return Ok(ControlFlow::Break(Worked::Ended(Box::new(now))));
        }
        if now.cancel_requested {
            return self.cancel().await;
        }
        let done = self.queue.done();
        if done > self.done_noted {
            let store = &self.context.store;
            store.note_progress(&run.job, run.run_id, done).await?;
            self.done_noted = done;
        }
        for split in self.queue.held() {
            if !(self.may_claim() && self.seat.may_take()) {
                return Ok(ControlFlow::Continue(()));
            }
            let claim = self.claims().claim(split).await?;
            let flow = self.claimed(split, claim).await?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        self.say_what_is_waited_for();
        Ok(ControlFlow::Continue(()))
    }

    fn say_what_is_waited_for(&self) {
        let lease = self.context.store.settings().lease;
        let soonest = self.queue.soonest(lease, boot_time());
        if let (true, Some((split, held, remaining))) = (self.running.is_empty(), soonest) {
            (self.say)(format!(
                "{} splits are held by other processes; split {split} (held by {}) is taken over unless that one gives a sign of life within {:.0} s (the lease is {} s)",
                self.queue.held().len(),
                readable(&held.process),
                remaining.as_secs_f64(),
                lease.as_secs(),
            ));
        }
    }

    /// Stops this process's splits, waits for those of others, then cancels the run.
    async fn cancel(&mut self) -> Result<Flow, StoreError> {
        self.drain().await;
        self.phase = Phase::Cancelling;
        let splits = close::read_splits(&self.context.store, &self.context.run).await?;
        let splits: Vec<(i32, Split)> = (0..)
            .zip(splits)
            .filter_map(|(split, seen)| {
                let seen = seen.filter(|seen| seen.state == SplitState::Claimed)?;
                Some((split, seen))
            })
            .collect();
        self.queue
            .retain_held(|split| splits.iter().any(|(claimed, _)| *claimed == split));
        let mut is_held = false;
        for (split, seen) in splits {
            if !self.claims().is_gone(split, &seen) {
                self.hold(split, &seen);
                is_held = true;
            }
        }
        if !is_held {
            let cancelled = close::cancel(&self.context.store, &self.context.run).await?;
            return Ok(ControlFlow::Break(cancelled));
        }
        self.say_what_is_waited_for();
        Ok(ControlFlow::Continue(()))
    }
}
