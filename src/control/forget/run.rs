//! The run that forgetting is. It is opened over all versions and never planned, so no worker
//! claims a split of it; one conditional write ends it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::Utc;
use uuid::Uuid;

use super::place::Place;
use crate::{
    codec::ring::TokenRange,
    domain::{
        problem::Problem,
        run::{Counts, Part, Run, RunState, Scope, lease::Watch},
    },
    engine::run::{
        base::BASE_GAP_US,
        close as end,
        heartbeat::{self, planners_beat, watch_on},
        plan::check_clock,
    },
    failpoint,
    failure::Failure,
    process,
    store::{
        Store,
        runs::{
            Ending,
            open_runs::{OpenRun, Opened},
        },
    },
};

/// Attempts to write the ending while it does not arrive.
const FINISH_TRIES: u32 = 5;

/// A run that forgets and holds its job's versions.
pub struct ForgetRun {
    pub run_id: Uuid,
    job: String,
    versions: BTreeSet<i32>,
}

/// The base timestamp of a run that forgets, and the unfinished ranges of its versions.
pub struct Begun {
    base: i64,
    unfinished: Vec<(i32, Vec<TokenRange>)>,
}

impl Begun {
    /// Returns the timestamp of the run's deletes: that of the only epoch of any other run.
    pub fn timestamp(&self) -> i64 {
        self.base + 2
    }
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
        take(store, &place.job, &versions, run_id).await?;
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
    pub async fn begin(&self, store: &Store, place: &Place, keys: usize) -> Result<Begun, Failure> {
        let (job, run_id) = (&self.job, self.run_id);
        let base = match base(store, job, &self.versions, run_id).await {
            Ok(base) => base,
            Err(failure) => {
                let unused: Vec<_> = self.versions.iter().map(|v| (*v, Vec::new())).collect();
                store.free_open_run(job, run_id, None, &unused).await?;
                return Err(failure);
            }
        };
        let rows = store.open_runs(job).await?;
        store
            .insert_run(&new_run(place, &self.versions, run_id, keys))
            .await?;
        failpoint::hit("after_forget_insert");
        let mine = rows.into_iter().filter(|row| row.run_id == Some(run_id));
        Ok(Begun {
            base,
            unfinished: mine.map(|row| (row.version, row.unfinished)).collect(),
        })
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
        let zero = || self.versions.iter().map(|version| (*version, 0)).collect();
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
            counts: Counts {
                source_rows: 0,
                orphaned: 0,
                scored: zero(),
                unchanged: zero(),
                rejected: zero(),
            },
            output_statistics: BTreeMap::new(),
        };
        let mut row = None;
        for _ in 0..FINISH_TRIES {
            store.finish_run(&self.job, self.run_id, &ending).await?;
            row = store.run(&self.job, self.run_id).await?;
            if row.as_ref().is_none_or(|run| run.state.is_terminal()) {
                break;
            }
        }
        if !row.is_some_and(|run| run.state == ending.state) {
            return Err(lost(store, &self.job, self.run_id).await?);
        }
        failpoint::hit("after_forget_finish");
        Ok(())
    }

    /// Frees the run's versions.
    ///
    /// # Errors
    /// Errors of Cassandra; the next process that opens a run frees them, too.
    pub async fn free(&self, store: &Store, begun: &Begun) -> Result<(), Failure> {
        store
            .free_open_run(&self.job, self.run_id, Some(begun.base), &begun.unfinished)
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

/// Takes the versions, if necessary from a run whose process has crashed.
async fn take(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<(), Failure> {
    let mut watched: Option<(Uuid, Watch)> = None;
    loop {
        let holder = match store.open_run(job, versions, run_id).await? {
            Opened::Mine => return Ok(()),
            Opened::HeldBy(holder) => holder,
        };
        let run = store.run(job, holder).await?;
        match &run {
            Some(run) if run.state.is_terminal() => {
                end::free(store, run).await?;
                continue;
            }
            Some(run) if run.state != RunState::Planning => return Err(conflict(run)),
            _ => {}
        }
        // The holder is between opening and planning: its process is about to continue, or has
        // crashed.
        let seen = planners_beat(store, job, holder).await?;
        let now = process::boot_time();
        let watch = watch_on(watched, holder, seen, now);
        if watch.remaining(store.settings().lease, now).is_zero() {
            match &run {
                Some(run) => drop(end::fail(store, run, "its planner vanished").await?),
                None => {
                    let unused: Vec<_> = versions.iter().map(|v| (*v, Vec::new())).collect();
                    store.free_open_run(job, holder, None, &unused).await?;
                }
            }
        }
        watched = Some((holder, watch));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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

/// Returns Cassandra's own time of the opening, once it is far enough above every earlier run's.
async fn base(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<i64, Failure> {
    loop {
        let held = store.refresh_open_run(job, versions, run_id).await?;
        let rows = store.open_runs(job).await?;
        check_clock(&rows, run_id).map_err(Failure::system)?;
        let mine = |row: &&OpenRun| row.run_id == Some(run_id);
        let base = rows.iter().filter(mine).filter_map(|row| row.written_at);
        let Some(base) = base.max().filter(|_| held) else {
            return Err(lost(store, job, run_id).await?);
        };
        // Over all versions: one delete covers them all.
        let last = rows.iter().filter_map(|row| row.last_base).max();
        if last.is_none_or(|last| base - last >= BASE_GAP_US) {
            return Ok(base);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
