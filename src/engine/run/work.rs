//! Works on a run: claims splits, scores them, and watches those that others hold, until all are
//! done.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::seq::SliceRandom;
use tokio::task::JoinSet;

use super::{
    claim::Claim,
    close,
    context::RunContext,
    owned,
    shared::Shared,
    slots::Seat,
    split::SplitError,
    stop::{Asked, Stop},
};
use crate::{
    domain::run::{Run, lease::Watch},
    process::{boot_time, spoken},
    scorer::pool::ScoreError,
    store::{
        driver::error::{StoreError, StoreErrorKind},
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

/// One process's share of a run.
pub struct Work {
    pub(super) context: Arc<RunContext>,
    pub(super) by: Claimant,
    stop: Stop,
    pub(super) seat: Seat,
    say: Say,
    pub(super) todo: VecDeque<i32>,
    pub(super) watched: HashMap<i32, (Watch, Split)>,
    pub(super) running: JoinSet<(i32, Result<(), SplitError>)>,
    attempts: HashMap<i32, u32>,
    /// A split whose owners vanished. It waits here, its lease kept, until nothing else runs. Then
    /// it runs in isolation, so that no other split is blamed if it crashes this process too.
    pub(super) suspect: Option<SplitLease>,
    pub(super) alone: bool,
    cancelling: bool,
    stop_splits: Arc<AtomicBool>,
    leaving: Option<Worked>,
    /// This process was asked to leave, and has released everything.
    left: bool,
    /// Splits known to be done, by any process.
    pub(super) done: i32,
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
        let mut todo: Vec<i32> = (0..splits as i32).collect();
        // A random order makes workers rarely try the same split.
        todo.shuffle(&mut rand::rng());
        Self {
            by,
            stop: shared.stop.clone(),
            seat: shared.slots.seat(context.run.run_id, context.run.priority),
            context,
            say,
            todo: todo.into(),
            watched: HashMap::new(),
            running: JoinSet::new(),
            attempts: HashMap::new(),
            suspect: None,
            alone: false,
            cancelling: false,
            stop_splits: Arc::default(),
            leaving: None,
            left: false,
            done: 0,
            done_noted: 0,
        }
    }

    /// Works until the run has ended or this process must leave.
    ///
    /// # Errors
    /// Cassandra's errors, when the control tables can't be reached; the run can be resumed.
    #[tracing::instrument(name = "run", skip_all, fields(job = self.context.run.job, id = %self.context.run.run_id))]
    pub async fn run(mut self) -> Result<Worked, StoreError> {
        let outcome = self.until_left().await;
        self.drain().await;
        outcome
    }

    async fn until_left(&mut self) -> Result<Worked, StoreError> {
        let lease = self.context.store.settings().lease;
        let poll = (lease / 5).clamp(Duration::from_millis(100), Duration::from_secs(2));
        let mut ticks = tokio::time::interval(poll);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.fill().await?;
            if let Some(worked) = self.leaving.take() {
                return Ok(worked);
            }
            if self.running.is_empty() && self.suspect.is_none() {
                if self.stop.asked() > Asked::Nothing {
                    return Ok(Worked::Stopped);
                }
                if self.todo.is_empty() && self.watched.is_empty() && !self.cancelling {
                    return close::close(&self.context).await;
                }
            }
            let (wants, left) = (self.may_claim() && !self.todo.is_empty(), self.left);
            self.seat.tell(self.running.len(), wants);
            tokio::select! {
                Some(ended) = self.running.join_next() => {
                    let (split, outcome) = match ended {
                        Ok(ended) => ended,
                        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                    };
                    self.ended(split, outcome).await?;
                }
                _ = ticks.tick() => self.look_around().await?,
                () = self.seat.freed(), if wants => {}
                () = self.stop.reaches(Asked::Leave), if !left => {
                    self.left = true;
                    self.drain().await;
                }
            }
        }
    }

    /// Returns whether this process may claim another split, if there is room.
    pub(super) fn may_claim(&self) -> bool {
        !self.alone
            && !self.cancelling
            && self.suspect.is_none()
            && self.leaving.is_none()
            && self.stop.asked() == Asked::Nothing
    }

    /// Starts a split that this process has claimed, or sets it aside to run in isolation.
    pub(super) async fn take(&mut self, lease: SplitLease, deaths: i32) -> Result<(), StoreError> {
        let split = lease.id.split;
        self.watched.remove(&split);
        if deaths > MAX_DEATHS {
            let reason = format!(
                "crash_loop: split {split} ended {MAX_DEATHS} processes that worked on nothing else, without a word; see their logs"
            );
            self.drain().await;
            self.leaving =
                Some(close::fail(&self.context.store, &self.context.run, &reason).await?);
            return Ok(());
        }
        if deaths > 0 {
            (self.say)(format!(
                "split {split}: its worker crashed or stopped heartbeating; re-scoring it in isolation"
            ));
        }
        if deaths > 0 && !self.running.is_empty() {
            self.suspect = Some(lease);
        } else {
            self.alone = deaths > 0;
            self.start(lease);
        }
        Ok(())
    }

    pub(super) fn start(&mut self, lease: SplitLease) {
        let context = Arc::clone(&self.context);
        let stop = Arc::clone(&self.stop_splits);
        let split = lease.id.split;
        self.running.spawn(async move {
            let outcome = owned::score_and_finish(&context, lease, &stop).await;
            (split, outcome)
        });
        self.seat.tell(self.running.len(), !self.todo.is_empty());
    }

    /// Handles the end of a split of this process, successful or not.
    async fn ended(
        &mut self,
        split: i32,
        outcome: Result<(), SplitError>,
    ) -> Result<(), StoreError> {
        let error = match outcome {
            Ok(()) => {
                self.done += 1;
                return Ok(());
            }
            Err(error) => error,
        };
        self.todo.push_back(split);
        let hopeless = match &error {
            SplitError::Stopped | SplitError::Fenced => return Ok(()),
            // Each attempt would cost a scoring thread permanently.
            SplitError::Score(error) => matches!(error, ScoreError::Unstoppable { .. }),
            SplitError::Store(error) => !error.kind.may_pass(),
            // It was tried for half a minute already.
            SplitError::Send(_) => true,
        };
        tracing::warn!(split, %error, "a split failed");
        let attempts = self.attempts.entry(split).or_default();
        *attempts += 1;
        if *attempts < ATTEMPTS && !hopeless {
            return Ok(());
        }
        self.drain().await;
        // If another worker may succeed, the run stays open; if no worker can, the run fails.
        let elsewhere = match &error {
            SplitError::Store(error) => {
                error.kind == StoreErrorKind::Denied || error.kind.may_pass()
            }
            SplitError::Send(error) => !error.is_lasting,
            _ => false,
        };
        self.leaving = Some(match elsewhere {
            true => Worked::GaveUp(error.to_string()),
            false => {
                close::fail(
                    &self.context.store,
                    &self.context.run,
                    &format!("split {split}: {error}"),
                )
                .await?
            }
        });
        Ok(())
    }

    /// Stops this process's splits and waits until they have ended.
    async fn drain(&mut self) {
        self.stop_splits.store(true, Ordering::Relaxed);
        self.context.pace.close();
        if let Some(lease) = self.suspect.take() {
            lease.release(None).await;
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Checks periodically whether the run has ended or must be cancelled, and whether others have
    /// let splits go.
    async fn look_around(&mut self) -> Result<(), StoreError> {
        let run = &self.context.run;
        let Some(now) = self.context.store.run(&run.job, run.run_id).await? else {
            self.leaving = Some(Worked::GaveUp("the run's row is gone".to_owned()));
            return Ok(());
        };
        if now.state.is_terminal() {
            self.leaving = Some(Worked::Ended(Box::new(now)));
            return Ok(());
        }
        if now.cancel_requested {
            return self.cancel().await;
        }
        if self.done > self.done_noted {
            self.context
                .store
                .note_progress(&run.job, run.run_id, self.done)
                .await?;
            self.done_noted = self.done;
        }
        let watched: Vec<i32> = self.watched.keys().copied().collect();
        for split in watched {
            if !(self.may_claim() && self.seat.may_take()) {
                return Ok(());
            }
            let claim = self.claim(split).await?;
            if matches!(claim, Claim::Done) {
                self.watched.remove(&split);
            }
            self.claimed(split, claim).await?;
        }
        self.say_what_is_waited_for();
        Ok(())
    }

    fn say_what_is_waited_for(&self) {
        let lease = self.context.store.settings().lease;
        let now = boot_time();
        let soonest = self
            .watched
            .iter()
            .min_by_key(|(_, (watch, _))| watch.remaining(lease, now));
        if let (true, Some((split, (watch, seen)))) = (self.running.is_empty(), soonest) {
            (self.say)(format!(
                "{} splits are held by other processes; split {split} (held by {}) is taken over unless that one gives a sign of life within {:.0} s (the lease is {} s)",
                self.watched.len(),
                spoken(&seen.process),
                watch.remaining(lease, now).as_secs_f64(),
                lease.as_secs(),
            ));
        }
    }

    /// Stops this process's splits, waits for those of others, then cancels the run.
    async fn cancel(&mut self) -> Result<(), StoreError> {
        self.cancelling = true;
        self.drain().await;
        let splits = close::read_splits(&self.context.store, &self.context.run).await?;
        self.watched.retain(|split, _| {
            let split = splits.get(*split as usize).and_then(Option::as_ref);
            split.is_some_and(|split| split.state == SplitState::Claimed)
        });
        let mut held = false;
        for (split, seen) in (0..).zip(splits) {
            let Some(seen) = seen.filter(|seen| seen.state == SplitState::Claimed) else {
                continue;
            };
            if !self.gone(split, &seen) {
                self.watch(split, seen);
                held = true;
            }
        }
        if held {
            self.say_what_is_waited_for();
        } else {
            self.leaving = Some(close::cancel(&self.context.store, &self.context.run).await?);
        }
        Ok(())
    }
}
