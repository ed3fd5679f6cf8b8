//! Decides when to look at an experiment, and records what was seen.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    domain::{
        evidence::experiment::allocation::Allocation,
        experiment::{Experiment, ExperimentState, ExperimentVerdict, Look},
        problem::Problem,
    },
    failure::{Exit, Failure},
    inspect::{
        experiment::{self, LookSpec},
        pass::Running,
    },
    process,
    store::{
        Store,
        admin::signals::EVIDENCE,
        evidence::{experiment_results::StoredLook, experiments::ExperimentStatus},
    },
};

/// Interval between two looks.
const PERIOD: TimeDelta = TimeDelta::hours(1);
/// Shortest interval between looks, however often the job runs.
const AFTER_RUNS: TimeDelta = TimeDelta::minutes(10);
/// Runs that are checked for one that began since the last look.
const RUNS: i32 = 5;
/// Shortest interval between two searches for looks that are due.
const SEARCH: Duration = Duration::from_secs(30);
/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Looks that are under way.
#[derive(Default)]
pub struct Looks {
    tasks: JoinSet<((String, String), Result<(), Failure>)>,
    busy: HashSet<(String, String)>,
    /// Failed looks: not before this time again.
    resting: BTreeMap<(String, String), Instant>,
    running: Option<Running>,
    /// When to search again for looks that are due.
    again: Option<Instant>,
}

impl Looks {
    /// Begins a look that is due; looks are taken one at a time.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn begin(&mut self, store: &Store, jobs: &BTreeSet<String>) -> Result<(), Failure> {
        let now = Instant::now();
        if !self.busy.is_empty() || self.again.is_some_and(|again| now < again) {
            return Ok(());
        }
        for job in jobs {
            for status in store.experiment_statuses(job).await? {
                let key = (job.clone(), status.name.clone());
                let rests = self.resting.get(&key);
                let rests = rests.is_some_and(|until| now < *until);
                if rests || !is_due(store, &status).await? {
                    continue;
                }
                self.busy.insert(key.clone());
                let running = self
                    .running
                    .get_or_insert_with(|| Running::new(None))
                    .clone();
                let store = store.clone();
                self.tasks.spawn(async move {
                    let looked = Box::pin(take_look(&store, &status, &running)).await;
                    (key, looked.map(drop))
                });
                return Ok(());
            }
        }
        self.again = Some(now + SEARCH);
        Ok(())
    }

    /// Returns whether a look is under way.
    pub fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Waits for the end of a look; returns its error.
    pub async fn next(&mut self) -> Option<String> {
        let (key, looked) = match self.tasks.join_next().await? {
            Ok(looked) => looked,
            // A panic is a bug: this process can no longer be trusted.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        self.busy.remove(&key);
        let failure = looked.err()?;
        let (job, experiment) = &key;
        let error = format!("experiment `{experiment}` of job `{job}`: {failure}");
        self.resting.insert(key, Instant::now() + PAUSE);
        Some(error)
    }

    /// Ends the looks that are under way; their finished splits are kept.
    pub async fn stop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Returns the newest look at this revision.
async fn newest(store: &Store, status: &ExperimentStatus) -> Result<Option<StoredLook>, Failure> {
    let looks = store.looks(&status.job, &status.name, 1).await?;
    let mut looks = looks.into_iter();
    Ok(looks.find(|look| look.revision == status.revision))
}

/// Returns whether to look now: an hour after the last look, after a run, and once at the end.
async fn is_due(store: &Store, status: &ExperimentStatus) -> Result<bool, Failure> {
    match status.state {
        ExperimentState::Ended => Ok(newest(store, status)
            .await?
            .is_none_or(|look| !look.is_final)),
        ExperimentState::Running => {
            let Some(last) = newest(store, status).await? else {
                return Ok(true);
            };
            let age = Utc::now() - last.at;
            if age < AFTER_RUNS {
                return Ok(false);
            }
            let runs = store
                .run_heads(&status.job, None, RUNS, |_, _| true)
                .await?;
            let mut ended = runs.iter().filter(|run| run.state.is_terminal());
            Ok(age >= PERIOD || ended.any(|run| run.started_at.is_some_and(|at| at > last.at)))
        }
        _ => Ok(false),
    }
}

/// Looks at an experiment that runs or has ended, and stores what was seen.
///
/// # Errors
/// Errors of Cassandra; interrupted. What no look can see is stored as the reason of an undecided
/// verdict instead.
pub async fn take_look(
    store: &Store,
    status: &ExperimentStatus,
    running: &Running,
) -> Result<Look, Failure> {
    let (experiment, allocation) = frozen(status)?;
    let spec = LookSpec {
        experiment: &experiment,
        allocation: &allocation,
        started_at: status.started_at.unwrap_or_default(),
        is_final: status.state == ExperimentState::Ended,
    };
    let look = match Box::pin(experiment::take_look(store, &spec, running)).await {
        Ok(look) => look,
        Err(failure) if matches!(failure.exit, Exit::Input | Exit::NotFound) => {
            unseen(&spec, &failure)
        }
        Err(failure) => return Err(failure),
    };
    store.insert_look(&look).await?;
    crate::metrics::EXPERIMENT_LOOKS
        .counter([&look.job, look.verdict.as_str()])
        .increment(1);
    store.raise(EVIDENCE).await?;
    Ok(look)
}

/// Returns the experiment as it was frozen at the start.
fn frozen(status: &ExperimentStatus) -> Result<(Experiment, Allocation), Failure> {
    let wrong = |why: &str| {
        let message = format!("experiment `{}` cannot be looked at: {why}", status.name);
        Failure::input(Problem::new("experiment.not_started", message))
    };
    let spec = status
        .spec
        .as_ref()
        .ok_or_else(|| wrong("it has not started"))?;
    let experiment = Experiment::read(spec).map_err(Failure::inputs)?;
    let versions = experiment.arms.iter();
    let versions = versions.map(|arm| status.arms.get(&arm.name).copied());
    let versions: Option<Vec<i32>> = versions.collect();
    let versions = versions.ok_or_else(|| wrong("an arm has no version"))?;
    let model = status.model.as_deref().unwrap_or_default();
    let allocation = experiment.allocation(model, &versions);
    Ok((experiment, allocation))
}

/// Returns a look that saw nothing, with the reason.
fn unseen(spec: &LookSpec<'_>, failure: &Failure) -> Look {
    Look {
        job: spec.experiment.job.clone(),
        experiment: spec.experiment.name.clone(),
        revision: spec.experiment.revision,
        look: process::timeuuid(),
        at: Utc::now(),
        is_final: spec.is_final,
        counts: BTreeMap::new(),
        without_unit: 0,
        outside: 0,
        early: 0,
        leaked: 0,
        sample_ratio: BTreeMap::new(),
        metric: spec.experiment.metric.clone(),
        values: BTreeMap::new(),
        standard_errors: BTreeMap::new(),
        differences: BTreeMap::new(),
        adjusted: BTreeMap::new(),
        paired: BTreeMap::new(),
        verdict: match spec.is_final {
            true => ExperimentVerdict::Inconclusive,
            false => ExperimentVerdict::Running,
        },
        verdicts: BTreeMap::new(),
        reason: format!("nothing was seen: {failure}"),
        warnings: Vec::new(),
    }
}
