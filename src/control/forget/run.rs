//! The run that forgetting is. It is opened over all versions and never planned, so no worker
//! claims a split of it; one conditional write ends it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use futures::FutureExt;
use uuid::Uuid;

use super::place::Place;
use crate::{
    domain::{
        problem::Problem,
        run::{Counts, Part, Run, RunState, Scope},
    },
    engine::run::{
        base::{Base, take_base},
        close, heartbeat,
        place::{self, check_clock, give_back},
    },
    failpoint,
    failure::Failure,
    process,
    store::{
        Store,
        runs::{Ending, open_runs::OpenRun},
    },
};

/// A run that forgets and holds its job's versions.
pub struct ForgetRun {
    pub run_id: Uuid,
    job: String,
    versions: BTreeSet<i32>,
}

impl ForgetRun {
    /// Takes all of the place's versions.
    ///
    /// # Errors
    /// Exit 4 with the id of another open run; errors of Cassandra.
    pub async fn take(store: &Store, place: &Place) -> Result<Self, Failure> {
        let run_id = process::timeuuid();
        let mut versions = place.versions.clone();
        if versions.is_empty() {
            // A job that never had a model: some row must be written to obtain a time.
            versions.insert(0);
        }
        let judge = |run: Run| {
            async move {
                match run.state {
                    RunState::Planning => Ok(None::<Run>),
                    _ => Err(conflict(&run)),
                }
            }
            .boxed()
        };
        // A run that is not being planned is a conflict, so nothing is done instead.
        place::take(store, &place.job, &versions, run_id, judge).await?;
        failpoint::hit("after_forget_open");
        Ok(Self {
            run_id,
            job: place.job.clone(),
            versions,
        })
    }

    /// Does `work` while other planners see that this run's process is alive.
    ///
    /// # Errors
    /// Those of `work`, and when another process took the place or a user cancelled the run: `work`
    /// is then dropped at once.
    pub async fn alive<T>(
        &self,
        store: &Store,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let place = (self.job.as_str(), &self.versions, self.run_id);
        match heartbeat::beating(store, place, work).await {
            Some(done) => done,
            None => Err(lost(store, &self.job, self.run_id).await?),
        }
    }

    /// Waits for the run's base, and writes its row.
    ///
    /// # Errors
    /// The clock is off; errors of Cassandra.
    pub async fn begin(&self, store: &Store, place: &Place, keys: usize) -> Result<Base, Failure> {
        let (job, run_id) = (&self.job, self.run_id);
        if let Err(problem) = check_clock(&store.open_runs(job).await?, run_id) {
            give_back(store, job, &self.versions, run_id).await?;
            return Err(Failure::system(problem));
        }
        // Over all versions: one delete covers them all.
        let last = |others: &[OpenRun]| others.iter().filter_map(|row| row.last_base).max();
        let base = take_base(store, job, &self.versions, run_id, last).await?;
        let Some(base) = base else {
            return Err(lost(store, job, run_id).await?);
        };
        store
            .insert_run(&new_run(place, &self.versions, run_id, keys))
            .await?;
        failpoint::hit("after_forget_insert");
        Ok(base)
    }

    /// Ends the run with the outcome of its work.
    ///
    /// # Errors
    /// Another process treated the run as abandoned, or a user cancelled it; errors of Cassandra.
    pub async fn finish(
        &self,
        store: &Store,
        outcome: &Result<(), Failure>,
    ) -> Result<(), Failure> {
        let ending = Ending {
            state: match outcome {
                Ok(()) => RunState::Succeeded,
                Err(_) => RunState::Failed,
            },
            whole: false,
            reason: outcome.as_ref().err().map(ToString::to_string),
            warnings: Vec::new(),
            late: false,
            splits_done: 0,
            counts: Counts::default(),
            output_statistics: BTreeMap::new(),
        };
        let state = ending.state;
        let row = close::finish(store, (&self.job, self.run_id), &self.versions, ending).await?;
        if !row.is_some_and(|run| run.state == state) {
            return Err(lost(store, &self.job, self.run_id).await?);
        }
        failpoint::hit("after_forget_finish");
        Ok(())
    }

    /// Frees the run's versions.
    ///
    /// # Errors
    /// Errors of Cassandra; the next process that opens a run frees them, too.
    pub async fn free(&self, store: &Store, base: &Base) -> Result<(), Failure> {
        store
            .free_open_run(&self.job, self.run_id, Some(base.base), &base.left)
            .await?;
        failpoint::hit("after_forget_free");
        Ok(())
    }
}

/// Returns why the run no longer belongs to this process. A cancelled run is not retryable; others
/// are.
async fn lost(store: &Store, job: &str, run_id: Uuid) -> Result<Failure, Failure> {
    let run = store.run(job, run_id).await?;
    if run.is_some_and(|run| run.state == RunState::Cancelled) {
        let message = format!("run {run_id} was cancelled before everything was erased");
        return Ok(Failure::conflict(
            Problem::new("forget.cancelled", message).help("run the command again to finish it"),
        ));
    }
    let message =
        format!("another process took over from run {run_id} before everything was erased");
    Ok(Failure::system(
        Problem::new("forget.lost_place", message).help("run the command again to finish it"),
    ))
}

fn conflict(run: &Run) -> Failure {
    Failure::conflict(
        Problem::new(
            "run.conflict",
            format!(
                "run {} of job `{}` is open: it must end before an entity is forgotten",
                run.run_id, run.job
            ),
        )
        .help(format!(
            "`helenus run show {} {}` follows it, `helenus run cancel {} {}` ends it",
            run.job, run.run_id, run.job, run.run_id
        )),
    )
}

fn new_run(place: &Place, versions: &BTreeSet<i32>, run_id: Uuid, keys: usize) -> Run {
    let targets: Vec<_> = place
        .targets
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    Run {
        job_revision: place.revision,
        versions: versions.clone(),
        scope: Scope {
            rewrite: false,
            refresh: false,
            // The number of keys, not the keys.
            part: Part::Keys(vec![BTreeMap::new(); keys]),
        },
        source: place.source.clone(),
        target: targets.join(", "),
        trigger: "forget".to_owned(),
        request_id: place.asked_by,
        requested_by: Some(process::user()),
        ..Run::planning(&place.job, run_id, Utc::now())
    }
}
