//! Reads jobs: the decision about each, its last run, and its open runs.

use futures::{StreamExt, TryStreamExt};

use super::AT_A_TIME;
use crate::{
    domain::run::{Run, RunState},
    engine::run::close::read_splits,
    process,
    store::{
        Store,
        driver::error::StoreError,
        jobs::{JobRow, JobState, JobStatus},
        runs::splits::SplitState,
    },
};

/// Runs that are searched for the last one that has ended.
const RECENT: i32 = 5;
/// Largest number of splits that are read one by one; for larger runs, the recorded progress is
/// shown.
const SPLITS: usize = 512;

/// A job.
#[derive(Debug)]
pub struct JobLine {
    pub job: String,
    /// The newest revision in `jobs`.
    pub revision: i32,
    /// Answer to that revision; `None`: it is not answered yet.
    pub status: Option<JobStatus>,
    /// The newest ready revision, which runs use.
    pub ready: Option<i32>,
    /// Whether the job is paused, so that no run of it starts automatically.
    pub paused: bool,
    /// `keyspace.table`, if known.
    pub source: Option<String>,
    /// `keyspace.table`, if known.
    pub target: Option<String>,
    /// The last run that has ended.
    pub last: Option<Run>,
    /// Runs that have not ended.
    pub open: Vec<OpenRun>,
}

/// A run that has not ended.
#[derive(Debug)]
pub struct OpenRun {
    pub run: Run,
    /// Number of splits that are finished.
    pub done: usize,
    /// Number of splits under a lease whose holder is not known to be gone; `None`: too many splits
    /// to check.
    pub held: Option<usize>,
}

pub(super) async fn read(store: &Store) -> Result<Vec<JobLine>, StoreError> {
    let mut names = store.sweep_jobs().await?;
    names.sort();
    let lines: Vec<Option<JobLine>> = futures::stream::iter(names)
        .map(|job| line(store, job))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    Ok(lines.into_iter().flatten().collect())
}

/// Returns `None` for a job that was deleted, or has no revision.
async fn line(store: &Store, job: String) -> Result<Option<JobLine>, StoreError> {
    let rows = store.job_rows(&job).await?;
    let set = |flag: fn(&JobRow) -> Option<bool>| rows.iter().any(|row| flag(row) == Some(true));
    let Some(revision) = rows.iter().filter_map(|row| row.revision).max() else {
        return Ok(None);
    };
    if set(|row| row.deleted) {
        return Ok(None);
    }
    let statuses = store.job_statuses(&job).await?;
    let ready = statuses
        .iter()
        .find(|status| status.state == JobState::Ready)
        .map(|status| status.revision);
    let known = statuses.iter().find(|status| status.target.is_some());
    let (source, target) = known.map_or((None, None), |status| {
        (status.source.clone(), status.target.clone())
    });
    let status = statuses
        .into_iter()
        .find(|status| status.revision == revision);
    let runs = store.runs(&job, RECENT).await?;
    let mut open = Vec::new();
    let mut ids: Vec<_> = store.open_runs(&job).await?;
    ids.dedup_by_key(|row| row.run_id);
    for run_id in ids.into_iter().filter_map(|row| row.run_id) {
        if let Some(run) = store.run(&job, run_id).await?
            && !run.state.is_terminal()
            && open
                .iter()
                .all(|other: &OpenRun| other.run.run_id != run_id)
        {
            open.push(open_run(store, run).await?);
        }
    }
    Ok(Some(JobLine {
        revision,
        status,
        ready,
        paused: set(|row| row.paused),
        source,
        target,
        last: runs.into_iter().find(|run| run.state.is_terminal()),
        open,
        job,
    }))
}

async fn open_run(store: &Store, run: Run) -> Result<OpenRun, StoreError> {
    let total = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
    if total > SPLITS {
        let done = run.splits_done.max(0) as usize;
        return Ok(OpenRun {
            run,
            done,
            held: None,
        });
    }
    let splits = read_splits(store, &run).await?;
    let splits = || splits.iter().flatten();
    let done = splits()
        .filter(|split| split.state == SplitState::Done)
        .count();
    let held = splits()
        .filter(|split| split.state == SplitState::Claimed && !process::is_gone(&split.process))
        .count();
    Ok(OpenRun {
        run,
        done,
        held: Some(held),
    })
}

impl JobLine {
    /// Returns the state of the newest revision, for users.
    pub fn state(&self) -> &'static str {
        self.status
            .as_ref()
            .map_or("unanswered", |status| status.state.as_str())
    }

    pub(super) fn warn(&self, warnings: &mut Vec<String>) {
        let name = format!("job `{}`", self.job);
        match &self.status {
            None => warnings.push(format!(
                "revision {} of {name} is not answered yet: is a worker running? `helenus worker --once` does it now",
                self.revision
            )),
            Some(status) if status.state != JobState::Ready => {
                let why = status.problems.first().map_or("", String::as_str);
                let used = match self.ready {
                    Some(ready) => format!("; runs use revision {ready}"),
                    None => String::new(),
                };
                warnings.push(format!(
                    "revision {} of {name} is {}{used}: {why}",
                    self.revision,
                    status.state.as_str()
                ));
            }
            Some(_) => {}
        }
        for open in &self.open {
            let run = &open.run;
            if open.held == Some(0) && run.state == RunState::Running {
                warnings.push(format!(
                    "no worker is working on run {} of {name}, {} of {} splits are done; run `helenus score {}` to resume it",
                    run.run_id, open.done, run.splits_total, self.job
                ));
            }
        }
        if let Some(last) = &self.last {
            if last.state == RunState::Failed {
                let reason = last.reason.as_deref().unwrap_or("it does not say why");
                warnings.push(format!("the last run of {name} failed: {reason}"));
            }
            let of_run = last.warnings.iter();
            warnings.extend(of_run.map(|warning| format!("the last run of {name}: {warning}")));
        }
    }
}
