//! Answers, watches and fires triggers.
//!
//! A firing takes three steps, each of which any process may repeat:
//! 1. **Decided**: `trigger_status.queued_due` is written, conditional on what was read (`seq`). Of
//!    two schedulers only one succeeds; the other reads what was decided.
//! 2. **Planned**: [`crate::engine::run::plan`] plans the run under the id derived from (job,
//!    trigger, due time). A process that plans the same firing again finds the same run, ended or
//!    not.
//! 3. **Recorded**: the queue is emptied, and `last_run` names the run.
//!
//! A scheduler that crashes before step 1 leaves a tick that is due; before step 2 or 3, it leaves
//! a queued firing with which the next one continues. Correctness does not depend on a lease; the
//! caller's lease only avoids double work.
//!
//! **Reads per second** of an idle scheduler: every [`SWEEP`] it reads the tables `triggers` and
//! `trigger_status`, the names of `jobs`, and Cassandra's clock: 0.4 per second in total (0.3
//! without any trigger). Between sweeps, a cron or interval trigger costs nothing until it is due.
//! An `after_job` trigger costs two reads for each job that it names, each [`LOOK`], and an
//! `on_promotion` or `on_alarm` trigger one: 0.5 per second each. A trigger on pending rows costs an estimate
//! each [`ESTIMATE`] ([`estimate`]) and one conditional write; with hints, four more reads each
//! [`LOOK`], or each [`HINTED`] while there are some. A queued firing costs about three reads per second.

mod alarms;
pub mod estimate;
mod facts;
mod fire;
mod hints;
mod look;
mod step;
mod sweep;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    domain::trigger::{
        Trigger, TriggerRow, TriggerStatus, When,
        decide::{Outcome, decide},
    },
    engine::clock,
    failure::Failure,
    store::Store,
};
use step::Stepped;

/// Interval between two reads of all rows.
pub const SWEEP: TimeDelta = TimeDelta::seconds(10);
/// Interval at which runs, aliases and hints are checked.
pub const LOOK: TimeDelta = TimeDelta::seconds(2);
/// Interval at which hints are checked while there are some.
pub const HINTED: TimeDelta = TimeDelta::seconds(1);
/// Interval at which the pending rows of a trigger are estimated.
pub const ESTIMATE: TimeDelta = TimeDelta::seconds(30);
/// Triggers served concurrently: a planner that waits for another one blocks only its own place.
const AT_A_TIME: usize = 8;

/// Job and name of a trigger.
type TriggerId = (String, String);

/// What a round did.
#[derive(Debug, Default)]
pub struct TriggerRound {
    /// Rows that were answered, for the first time or again.
    pub answered: usize,
    /// Runs that triggers made or joined.
    pub fired: Vec<Fired>,
    /// Errors to report; what failed is tried again.
    pub troubles: Vec<String>,
}

/// A trigger that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub job: String,
    /// The trigger's name.
    pub trigger: String,
    /// The run that it made or joined.
    pub run_id: Uuid,
}

/// A trigger as this process knows it.
#[derive(Debug)]
struct Watched {
    row: TriggerRow,
    /// `None`: nothing to watch.
    trigger: Option<Trigger>,
    /// The job's model, for triggers that follow an alias.
    model: Option<String>,
    status: TriggerStatus,
    /// Earliest time of the next look.
    look_at: Option<DateTime<Utc>>,
    busy: bool,
}

/// Watches triggers, for one process; keep it between rounds.
#[derive(Default)]
pub struct Scheduler {
    watched: BTreeMap<TriggerId, Watched>,
    swept_at: Option<DateTime<Utc>>,
    tasks: JoinSet<(TriggerId, Result<Stepped, Failure>)>,
}

impl Scheduler {
    /// Serves what is due: answers new rows, and starts to serve triggers in the background. Their
    /// outcomes are returned by a later round, or by [`Scheduler::settle`]. Call it every second.
    ///
    /// # Errors
    /// Errors of Cassandra, and `clock.off` if this machine's clock is too far off (exit 3). A
    /// failure of one trigger is not an error.
    pub async fn run_once(&mut self, store: &Store) -> Result<TriggerRound, Failure> {
        let now = Utc::now();
        if self.is_sweep_due(now) {
            check_clock(store).await?;
        }
        self.round(store, now).await
    }

    /// As [`Scheduler::run_once`], at a given time.
    ///
    /// # Errors
    /// As [`Scheduler::run_once`], except for the clock.
    pub async fn round(
        &mut self,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<TriggerRound, Failure> {
        let mut round = TriggerRound::default();
        // With the precision of Cassandra's times, so that remembered times equal those that are
        // read back.
        let now = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
        while let Some(done) = self.tasks.try_join_next() {
            self.take(done, now, &mut round);
        }
        if self.is_sweep_due(now) {
            self.sweep(store, now, &mut round).await?;
        }
        let due: Vec<TriggerId> = self
            .watched
            .iter()
            .filter(|(_, watched)| watched.is_due(now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            if self.tasks.len() >= AT_A_TIME {
                break;
            }
            let Some(watched) = self.watched.get_mut(&id) else {
                continue;
            };
            let Some(trigger) = watched.trigger.clone() else {
                continue;
            };
            watched.busy = true;
            let (store, status, model) =
                (store.clone(), watched.status.clone(), watched.model.clone());
            self.tasks.spawn(async move {
                let stepped =
                    Box::pin(step::step(&store, &trigger, model.as_deref(), status, now)).await;
                (id, stepped)
            });
        }
        Ok(round)
    }

    /// Answers all rows now, and fires nothing.
    ///
    /// # Errors
    /// Errors of Cassandra; `cassandra.denied` if this login is not permitted to answer.
    pub async fn answer(&mut self, store: &Store) -> Result<TriggerRound, Failure> {
        check_clock(store).await?;
        let mut round = TriggerRound::default();
        self.sweep(store, Utc::now(), &mut round).await?;
        Ok(round)
    }

    /// Returns whether work continues in the background.
    pub fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Waits until one of the triggers that are served in the background is done. Dropping the
    /// future loses nothing.
    pub async fn next_served(&mut self) -> TriggerRound {
        let mut round = TriggerRound::default();
        if let Some(done) = self.tasks.join_next().await {
            self.take(done, Utc::now(), &mut round);
        }
        round
    }

    /// Waits for everything that was started in the background.
    pub async fn settle(&mut self) -> TriggerRound {
        let mut round = TriggerRound::default();
        while let Some(done) = self.tasks.join_next().await {
            self.take(done, Utc::now(), &mut round);
        }
        round
    }

    fn is_sweep_due(&self, now: DateTime<Utc>) -> bool {
        self.swept_at.is_none_or(|at| now < at || now - at >= SWEEP)
    }

    fn take(
        &mut self,
        done: Result<(TriggerId, Result<Stepped, Failure>), tokio::task::JoinError>,
        now: DateTime<Utc>,
        round: &mut TriggerRound,
    ) {
        let (id, stepped) = match done {
            Ok(done) => done,
            // A panic is a bug: this process can no longer be trusted.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let Some(watched) = self.watched.get_mut(&id) else {
            return;
        };
        watched.busy = false;
        match stepped {
            Ok(stepped) => {
                if stepped.status.seq >= watched.status.seq {
                    watched.status = stepped.status;
                }
                watched.look_at = stepped.look_at;
                round.troubles.extend(stepped.trouble);
                round.fired.extend(stepped.fired.map(|run_id| Fired {
                    job: id.0,
                    trigger: id.1,
                    run_id,
                }));
            }
            Err(failure) => {
                watched.look_at = Some(now + TimeDelta::seconds(5));
                round
                    .troubles
                    .push(format!("trigger `{}` of job `{}`: {failure}", id.1, id.0));
            }
        }
    }
}

impl Watched {
    fn is_due(&self, now: DateTime<Utc>) -> bool {
        let Some(trigger) = self.trigger.as_ref().filter(|_| !self.busy) else {
            return false;
        };
        // Limits the wait after the clock was set back.
        if self
            .look_at
            .is_some_and(|at| now < at && at - now < TimeDelta::minutes(10))
        {
            return false;
        }
        if self.status.queued_due.is_some() {
            return true;
        }
        match trigger.when {
            When::Scheduled(_) => !matches!(
                decide(trigger, &self.status, now, facts::quiet()),
                Outcome::Wait { .. }
            ),
            _ => true,
        }
    }
}

async fn check_clock(store: &Store) -> Result<(), Failure> {
    clock::check(store.clock_ahead().await?).map_err(Failure::system)
}
