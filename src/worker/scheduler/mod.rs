//! Triggers: answered, watched, fired.
//!
//! A firing takes three steps, each of which anybody may repeat:
//! 1. **Decided**: `trigger_status.queued_due` is written, conditional on what was read (`seq`). Of
//!    two schedulers one is heard; the other reads what was decided.
//! 2. **Planned**: [`crate::worker::run::plan`] under the id that follows from (job, trigger, due
//!    time). Whoever plans the same firing again finds the same run, ended or not.
//! 3. **Noted**: the queue is emptied, `last_run` says which run it was.
//!
//! A scheduler that dies before 1 leaves a tick that is due; before 2 or 3, a queued firing that the
//! next one goes on with. No lease is relied upon; one (the caller's) only saves the double work.
//!
//! **Reads per second** of an idle scheduler, T triggers: every [`SWEEP`] the tables `triggers`,
//! `trigger_status`, the names of `jobs`, and Cassandra's clock: 0.4 a second in all (0.3 without any
//! trigger). Between sweeps a cron or interval trigger costs nothing until it is due; an `after_job`
//! one read for each job that it names, and an `on_promotion` one, each [`LOOK`]: 0.5 a second; one on
//! pending rows an estimate each [`ESTIMATE`] ([`estimate`]) and one conditional write, with hints
//! three more reads each [`LOOK`]. A queued firing costs about three reads a second.

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
    failure::Failure,
    store::Store,
    worker::clock,
};
use step::Stepped;

/// How often all rows are read.
pub const SWEEP: TimeDelta = TimeDelta::seconds(10);
/// How often runs, aliases and hints are looked at.
pub const LOOK: TimeDelta = TimeDelta::seconds(2);
/// How often the pending rows of a trigger are estimated.
pub const ESTIMATE: TimeDelta = TimeDelta::seconds(30);
/// Triggers served at a time: a planner that waits for another holds up no more than its place.
const AT_A_TIME: usize = 8;

/// Job and name.
type TriggerId = (String, String);

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Rows that were answered, or answered anew.
    pub answered: usize,
    /// Runs that triggers made or joined.
    pub fired: Vec<Fired>,
    /// What could not be done, for whoever looks; it is tried again.
    pub troubles: Vec<String>,
}

/// A trigger that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Its job.
    pub job: String,
    /// Its name.
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
    /// The job's model, for those that follow an alias.
    model: Option<String>,
    status: TriggerStatus,
    /// Not before then.
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
    /// Serves what is due: answers new rows, and starts to serve triggers, in the background; what
    /// came of those is told by a later round, or by [`Scheduler::settle`]. To be called every second.
    ///
    /// # Errors
    /// Cassandra's, and `clock.off` when this machine's clock is not to be trusted (exit 3). One
    /// trigger's trouble is no error.
    pub async fn run_once(&mut self, store: &Store) -> Result<Round, Failure> {
        let now = Utc::now();
        if self.is_sweep_due(now) {
            check_clock(store).await?;
        }
        self.round(store, now).await
    }

    /// The same at a given time.
    ///
    /// # Errors
    /// As [`Scheduler::run_once`], but for the clock.
    pub async fn round(&mut self, store: &Store, now: DateTime<Utc>) -> Result<Round, Failure> {
        let mut round = Round::default();
        // As Cassandra keeps times, so that what is remembered equals what is read back.
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
                let stepped = step::step(&store, &trigger, model.as_deref(), status, now).await;
                (id, stepped)
            });
        }
        Ok(round)
    }

    /// Answers all rows now, and fires nothing.
    ///
    /// # Errors
    /// Cassandra's; `cassandra.denied` where this login may not answer.
    pub async fn answer(&mut self, store: &Store) -> Result<Round, Failure> {
        check_clock(store).await?;
        let mut round = Round::default();
        self.sweep(store, Utc::now(), &mut round).await?;
        Ok(round)
    }

    /// Waits for what was begun in the background.
    pub async fn settle(&mut self) -> Round {
        let mut round = Round::default();
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
        round: &mut Round,
    ) {
        let (id, stepped) = match done {
            Ok(done) => done,
            // A panic of our own: the process is not to be trusted any more.
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
        // A clock that has gone back does not make anybody wait for long.
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
