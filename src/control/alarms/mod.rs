//! Opens and closes alarms: what holds follows from rows that are stored, and nothing is remembered.
//!
//! A round reads the outcomes of each job's newest runs and the statuses of triggers; the gates only
//! when something about them may have changed. An alarm never blocks anything.
//!
//! What is to be sent is written before a change that would make it impossible to find out again: a
//! crash loses no message ([`deliver`]).

pub mod deliver;
mod drift;
mod gates;
mod sinks;
mod streams;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

pub use sinks::{AlarmSink, sinks};

use crate::{
    domain::{
        alarm::{
            Alarm, AlarmKind, Changes, Condition, changes, delivery::AlarmEvent, outputs, rejected,
            runs, sample_ratio, triggers,
        },
        experiment::ExperimentVerdict,
        trigger::{TriggerRow, TriggerStatus},
    },
    failpoint,
    inspect::experiment::state::states,
    metrics, process,
    store::{Store, admin::signals::ALARMS, driver::error::StoreError},
};

/// Newest runs of a job that are looked at.
const RUNS: i32 = 20;
/// A sink that is new gets the alarms that were opened within this time and are still open.
const NEW_SINK: TimeDelta = TimeDelta::days(1);

/// What a round changed.
#[derive(Debug, Default)]
pub struct AlarmRound {
    pub opened: usize,
    pub closed: usize,
    /// What could not be looked at; the alarms about it stay as they are.
    pub errors: Vec<String>,
}

/// Looks at everything that can be alarming. Keep it between rounds: it saves reads.
#[derive(Debug, Default)]
pub struct AlarmWatch {
    gates: gates::GateLook,
    drift: drift::DriftLook,
    /// Alarms and sinks for which the delivery is known to be asked for.
    asked: BTreeSet<(Uuid, &'static str)>,
    /// Gauges that were set.
    shown: BTreeMap<(String, AlarmKind), usize>,
}

impl Drop for AlarmWatch {
    /// Another worker leads from now on, and shows what is open.
    fn drop(&mut self) {
        for (job, kind) in self.shown.keys() {
            metrics::ALARMS_OPEN.gauge([job, kind.as_str()]).set(0);
        }
    }
}

impl AlarmWatch {
    /// Opens alarms for conditions that are new, and closes those whose condition is gone.
    ///
    /// # Errors
    /// Errors of Cassandra if nothing could be looked at.
    pub async fn round(
        &mut self,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<AlarmRound, StoreError> {
        let mut round = AlarmRound::default();
        let open = store.open_alarms().await?;
        let live = store.live_jobs().await?;
        let statuses = store.trigger_statuses().await?;
        let rows = store.triggers().await?;
        let gates = match self.gates.conditions(store, now, Instant::now()).await {
            Ok(conditions) => Some(conditions),
            Err(error) => {
                round.errors.push(format!("alarms about gates: {error}"));
                None
            }
        };
        let experiments = match experiments(store).await {
            Ok(conditions) => Some(conditions),
            Err(error) => {
                round
                    .errors
                    .push(format!("alarms about experiments: {error}"));
                None
            }
        };
        let streams = match streams::stream_conditions(store, now).await {
            Ok(conditions) => Some(conditions),
            Err(error) => {
                round.errors.push(format!("alarms about streams: {error}"));
                None
            }
        };
        let jobs: BTreeSet<&String> = live.iter().chain(open.keys()).collect();
        for job in jobs {
            let of_job = open.get(job).cloned().unwrap_or_default();
            let mut found = Found::default();
            if live.contains(job) {
                found.add_triggers(job, &rows, &statuses, now);
                if let Some(gates) = &gates {
                    found.add_gates(job, gates);
                }
                if let Some(experiments) = &experiments {
                    let of_job = experiments.iter().filter(|found| found.job == *job);
                    found.add(AlarmKind::SampleRatioMismatch, of_job.cloned().collect());
                }
                if let Some(streams) = &streams {
                    let of_job = streams.iter().filter(|found| found.job == *job);
                    found.kinds.extend(AlarmKind::OF_STREAMS);
                    found.conditions.extend(of_job.cloned());
                }
                match store.run_outcomes(job, RUNS).await {
                    Ok(outcomes) => {
                        found.add_runs(store, job, &outcomes, now);
                        match self.drift.conditions(store, job, &outcomes).await {
                            Ok(conditions) => found.add(AlarmKind::Drift, conditions),
                            Err(error) => {
                                round.errors.push(format!("drift of job `{job}`: {error}"))
                            }
                        }
                    }
                    Err(error) => round.errors.push(format!("alarms of job `{job}`: {error}")),
                }
            } else {
                // Nothing about a deleted job is alarming.
                found.kinds = AlarmKind::ALL.to_vec();
            }
            let changes = changes(found.conditions, &found.kinds, &of_job);
            self.show(job, &of_job, &changes);
            if let Err(error) = self.apply(store, job, changes, now, &mut round).await {
                round.errors.push(format!("alarms of job `{job}`: {error}"));
            }
        }
        Ok(round)
    }

    async fn apply(
        &mut self,
        store: &Store,
        job: &str,
        changes: Changes,
        now: DateTime<Utc>,
        round: &mut AlarmRound,
    ) -> Result<(), StoreError> {
        let mut asked = false;
        for (key, id) in changes.close {
            for sink in sinks(store.config()) {
                let sink = sink.name();
                store
                    .ask_alarm_delivery(job, id, AlarmEvent::Opened, sink)
                    .await?;
                store
                    .ask_alarm_delivery(job, id, AlarmEvent::Closed, sink)
                    .await?;
            }
            failpoint::hit("before_alarm_closed");
            if store.close_alarm(job, &key, id, now).await? {
                round.closed += 1;
            }
            self.asked.retain(|(alarm, _)| *alarm != id);
            asked = true;
        }
        for condition in changes.open {
            let id = process::timeuuid();
            if store.open_alarm(&condition, id, now).await? {
                round.opened += 1;
                failpoint::hit("after_alarm_opened");
                asked |= self.ask(store, job, id).await?;
            }
        }
        for (condition, id) in changes.remain {
            let Some(alarm) = store.alarm(job, id).await? else {
                continue;
            };
            if is_news(&alarm, &condition) {
                store.note_alarm_run(&alarm, &condition).await?;
            }
            if alarm.since.is_some_and(|since| now - since < NEW_SINK) {
                asked |= self.ask(store, job, id).await?;
            }
        }
        if asked {
            store.raise(ALARMS).await?;
        }
        Ok(())
    }

    /// Asks for the delivery of an open alarm; returns whether something may be new.
    async fn ask(&mut self, store: &Store, job: &str, id: Uuid) -> Result<bool, StoreError> {
        let mut asked = false;
        for sink in sinks(store.config()) {
            if !self.asked.contains(&(id, sink.name())) {
                store
                    .ask_alarm_delivery(job, id, AlarmEvent::Opened, sink.name())
                    .await?;
                self.asked.insert((id, sink.name()));
                asked = true;
            }
        }
        Ok(asked)
    }

    /// Sets the gauges of a job; those of all kinds, so that a rate of change has a beginning.
    fn show(&mut self, job: &str, open: &BTreeMap<String, Uuid>, changes: &Changes) {
        for kind in AlarmKind::ALL {
            let prefix = format!("{}/", kind.as_str());
            let is_closing = |key: &String| changes.close.iter().any(|(closing, _)| closing == key);
            let remaining = open
                .keys()
                .filter(|key| key.starts_with(&prefix) && !is_closing(key));
            let opening = changes.open.iter().filter(|new| new.kind == kind);
            let count = remaining.count() + opening.count();
            metrics::ALARMS_OPEN
                .gauge([job, kind.as_str()])
                .set(count as f64);
            self.shown.insert((job.to_owned(), kind), count);
        }
    }
}

/// Returns the running experiments whose newest look found a sample ratio mismatch.
async fn experiments(store: &Store) -> Result<Vec<Condition>, StoreError> {
    let mut found = Vec::new();
    for view in states(store, None, 1).await? {
        if view.is_over() {
            continue;
        }
        let mismatch = ExperimentVerdict::SampleRatioMismatch;
        if let Some(look) = view.looks.first().filter(|look| look.verdict == mismatch) {
            let (job, name) = (&view.row.job, &view.row.name);
            found.push(sample_ratio::mismatch(job, name, look.look, &look.reason));
        }
    }
    Ok(found)
}

/// Returns whether another run shows the condition than the one that was noted last.
fn is_news(alarm: &Alarm, now: &Condition) -> bool {
    now.run.is_some() && now.run != alarm.last_run
}

/// The conditions of a job, and the kinds that were looked at.
#[derive(Default)]
struct Found {
    conditions: Vec<Condition>,
    kinds: Vec<AlarmKind>,
}

impl Found {
    fn add(&mut self, kind: AlarmKind, conditions: Vec<Condition>) {
        self.kinds.push(kind);
        self.conditions.extend(conditions);
    }

    fn add_runs(
        &mut self,
        store: &Store,
        job: &str,
        outcomes: &[crate::domain::alarm::RunOutcome],
        now: DateTime<Utc>,
    ) {
        let limit = store.config().alarms.max_rejected;
        self.kinds.extend(AlarmKind::OF_RUNS);
        self.conditions.extend(runs::failed(job, outcomes));
        self.conditions.extend(runs::late(job, outcomes, now));
        self.conditions
            .extend(rejected::share(job, outcomes, limit));
        self.conditions.extend(outputs::warned(job, outcomes));
    }

    fn add_triggers(
        &mut self,
        job: &str,
        rows: &[TriggerRow],
        statuses: &[TriggerStatus],
        now: DateTime<Utc>,
    ) {
        let found = triggers::not_fired(rows, statuses, now).into_iter();
        self.kinds.push(AlarmKind::TriggerNotFired);
        self.conditions
            .extend(found.filter(|found| found.job == job));
    }

    fn add_gates(&mut self, job: &str, conditions: &[Condition]) {
        let found = conditions.iter().filter(|found| found.job == job);
        self.kinds.extend(AlarmKind::OF_GATES);
        self.conditions.extend(found.cloned());
    }
}
