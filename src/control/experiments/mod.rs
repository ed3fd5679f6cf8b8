//! Starts and ends experiments, and looks at those that run.
//!
//! What a job's experiments assign is one cell of `experiment_status` with a number that each change
//! raises, by a conditional write. Two workers that act at once therefore make the same change once,
//! and a run that reads the number knows whether it is behind ([`crate::engine::run::current`]).
//! Arms, metric and end are frozen at the start; of the person's row only `stopped` counts later.

mod looks;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use self::start::{Starting, start};
use crate::{
    domain::experiment::{ExperimentRow, ExperimentState},
    failpoint,
    failure::Failure,
    store::{
        Store,
        admin::signals::EVIDENCE,
        driver::error::StoreError,
        evidence::experiments::{ExperimentStatus, JobAllocation},
    },
};

pub use looks::{Looks, take_look};

/// Longest interval between two answers to unchanged rows: aliases and tables may have changed.
const AGAIN: Duration = Duration::from_secs(60);

/// What a round did.
#[derive(Debug, Default)]
pub struct ExperimentRound {
    /// Rows whose answer changed.
    pub answered: usize,
    /// What could not be done; it is tried again.
    pub errors: Vec<String>,
}

/// State since the last answers; keep it between rounds.
#[derive(Debug, Default)]
pub struct ExperimentWatch {
    seen: Option<LastAnswers>,
    jobs: BTreeSet<String>,
}

#[derive(Debug)]
struct LastAnswers {
    rows: Vec<ExperimentRow>,
    /// When to answer again even if no row changed.
    again: Instant,
    /// The next planned start or end.
    next: Option<DateTime<Utc>>,
}

impl ExperimentWatch {
    /// Answers the experiments of all jobs, if something may have changed. Costs one read otherwise.
    ///
    /// # Errors
    /// Errors of Cassandra; the next round tries again.
    pub async fn round(
        &mut self,
        store: &Store,
        now: Instant,
    ) -> Result<ExperimentRound, StoreError> {
        let mut round = ExperimentRound::default();
        let rows = store.experiments().await?;
        self.jobs = rows.iter().map(|row| row.job.clone()).collect();
        let clock = Utc::now();
        let same = |seen: &LastAnswers| {
            seen.rows == rows && now < seen.again && seen.next.is_none_or(|next| clock < next)
        };
        if rows.is_empty() || self.seen.as_ref().is_some_and(same) {
            return Ok(round);
        }
        self.seen = None;
        for job in &self.jobs {
            match Box::pin(answer(store, job, clock)).await {
                Ok(answered) => round.answered += answered,
                Err(failure) => {
                    round
                        .errors
                        .push(format!("experiments of job `{job}`: {failure}"));
                }
            }
        }
        if round.errors.is_empty() {
            let times = rows.iter().flat_map(|row| [row.starts_at, row.ends_at]);
            self.seen = Some(LastAnswers {
                next: times.flatten().filter(|time| *time > clock).min(),
                rows,
                again: now + AGAIN,
            });
        }
        Ok(round)
    }

    /// Returns the jobs that have experiments.
    pub fn jobs(&self) -> &BTreeSet<String> {
        &self.jobs
    }
}

/// Answers a job's experiments; returns how many answers changed.
///
/// # Errors
/// Errors of Cassandra, and what another process may not see.
pub async fn answer(store: &Store, job: &str, now: DateTime<Utc>) -> Result<usize, Failure> {
    let mut desk = Desk {
        store,
        job,
        now,
        before: store.allocation_now(job).await?,
        statuses: store.experiment_statuses(job).await?,
        changed: 0,
    };
    let mut experiments: BTreeMap<String, Vec<ExperimentRow>> = BTreeMap::new();
    for row in store.experiments_of(job).await? {
        experiments.entry(row.name.clone()).or_default().push(row);
    }
    desk.end(&experiments).await?;
    for mut revisions in experiments.into_values() {
        revisions.sort_by_key(|row| std::cmp::Reverse(row.revision));
        let mut revisions = revisions.into_iter();
        if let Some(newest) = revisions.next() {
            Box::pin(desk.newest(&newest)).await?;
        }
        for older in revisions {
            desk.older(&older).await?;
        }
    }
    Ok(desk.changed)
}

/// A job's experiments while they are answered.
struct Desk<'a> {
    store: &'a Store,
    job: &'a str,
    now: DateTime<Utc>,
    before: JobAllocation,
    statuses: Vec<ExperimentStatus>,
    changed: usize,
}

impl Desk<'_> {
    fn status(&self, row: &ExperimentRow) -> Option<&ExperimentStatus> {
        let mut statuses = self.statuses.iter();
        statuses.find(|status| (&status.name, status.revision) == (&row.name, row.revision))
    }

    fn is_running(&self, name: &str, revision: i32) -> bool {
        let running = self.before.allocation.as_ref();
        running.is_some_and(|running| {
            (running.experiment.as_str(), running.revision) == (name, revision)
        })
    }

    /// Ends the running experiment if it is stopped, over or gone.
    async fn end(
        &mut self,
        experiments: &BTreeMap<String, Vec<ExperimentRow>>,
    ) -> Result<(), StoreError> {
        let Some(running) = &self.before.allocation else {
            return Ok(());
        };
        let rows = experiments.get(&running.experiment);
        let mut rows = rows.into_iter().flatten();
        let row = rows.find(|row| row.revision == running.revision);
        let mut statuses = self.statuses.iter();
        let status = statuses.find(|status| {
            (&status.name, status.revision) == (&running.experiment, running.revision)
        });
        let Some(status) = status else {
            return Ok(());
        };
        let end = status.spec.as_ref().and_then(|spec| spec.ends_at);
        let (state, reason) = match row {
            None => (ExperimentState::Stopped, Some("its row is gone".to_owned())),
            Some(row) if row.stopped == Some(true) => (ExperimentState::Stopped, None),
            Some(_) if end.is_none_or(|end| end <= self.now) => (ExperimentState::Ended, None),
            Some(_) => return Ok(()),
        };
        let over = ExperimentStatus {
            state,
            reason,
            ended_at: Some(self.now),
            ..status.clone()
        };
        self.store
            .move_allocation(&self.before, None, &over)
            .await?;
        self.moved().await
    }

    /// Reads everything again after a change of what is assigned, and tells those who follow it.
    async fn moved(&mut self) -> Result<(), StoreError> {
        failpoint::hit("after_allocation");
        self.changed += 1;
        self.before = self.store.allocation_now(self.job).await?;
        self.statuses = self.store.experiment_statuses(self.job).await?;
        self.store.raise(EVIDENCE).await
    }

    /// Answers the newest revision of an experiment.
    async fn newest(&mut self, row: &ExperimentRow) -> Result<(), Failure> {
        let stands = self.status(row).cloned();
        let hash = row.hash();
        match &stands {
            Some(status) if status.state.is_over() => return Ok(()),
            // It must not start by surprise when an alias or a manifest changes one day.
            Some(status) if status.state == ExperimentState::Refused && status.row_hash == hash => {
                return Ok(());
            }
            Some(status) if status.state == ExperimentState::Running => {
                let reason = (status.row_hash != hash).then(|| {
                    "its row was changed after the start, which counts for nothing; a change is a new revision".to_owned()
                });
                let next = ExperimentStatus {
                    reason,
                    ..status.clone()
                };
                return Ok(self.say(Some(status), next).await?);
            }
            _ => {}
        }
        let running = self.before.allocation.as_ref();
        let next = ExperimentStatus {
            job: self.job.to_owned(),
            name: row.name.clone(),
            revision: row.revision,
            state: ExperimentState::Waiting,
            reason: None,
            model: None,
            arms: BTreeMap::new(),
            spec: None,
            row_hash: hash,
            started_at: None,
            ended_at: None,
        };
        let starting = Box::pin(start(self.store, row, running, self.now)).await?;
        match starting {
            Starting::No(state, reason) => {
                let next = ExperimentStatus {
                    state,
                    reason: (!reason.is_empty()).then_some(reason),
                    ended_at: state.is_over().then_some(self.now),
                    ..next
                };
                self.say(stands.as_ref(), next).await?;
            }
            Starting::Yes(allocation) => {
                let arms = allocation.arms.iter();
                let next = ExperimentStatus {
                    state: ExperimentState::Running,
                    model: Some(allocation.model.clone()),
                    arms: arms.map(|arm| (arm.name.clone(), arm.version)).collect(),
                    spec: Some(row.clone()),
                    started_at: Some(self.now),
                    ..next
                };
                self.store
                    .move_allocation(&self.before, Some(&allocation), &next)
                    .await?;
                self.moved().await?;
            }
        }
        Ok(())
    }

    /// Answers a revision that has a newer one: it never starts, and ends when that one starts.
    async fn older(&mut self, row: &ExperimentRow) -> Result<(), StoreError> {
        let Some(status) = self.status(row).cloned() else {
            return Ok(());
        };
        let ends = match status.state {
            ExperimentState::Waiting => true,
            ExperimentState::Running => !self.is_running(&row.name, row.revision),
            _ => false,
        };
        if !ends {
            return Ok(());
        }
        let next = ExperimentStatus {
            state: ExperimentState::Superseded,
            reason: None,
            ended_at: Some(self.now),
            ..status.clone()
        };
        self.say(Some(&status), next).await
    }

    /// Writes an answer if it differs from what stands.
    async fn say(
        &mut self,
        stands: Option<&ExperimentStatus>,
        next: ExperimentStatus,
    ) -> Result<(), StoreError> {
        if stands == Some(&next) {
            return Ok(());
        }
        self.changed += 1;
        self.store.answer_experiment(&self.before, &next).await
    }
}
