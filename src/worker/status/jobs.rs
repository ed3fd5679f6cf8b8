//! Jobs: what was decided about each, its last run, and runs that are open.

use futures::{StreamExt, TryStreamExt};

use super::AT_A_TIME;
use crate::{
    domain::run::{Run, RunState},
    process,
    store::{
        Store,
        error::StoreError,
        jobs::{JobRow, JobState, JobStatus},
        splits::SplitState,
    },
    worker::run::close::read_splits,
};

/// Runs that are looked through for the last one that has ended.
const RECENT: i32 = 5;
/// Up to so many splits are read one by one; of larger runs the noted progress is told.
const SPLITS: usize = 512;

/// A job.
#[derive(Debug)]
pub struct JobLine {
    /// Its name.
    pub job: String,
    /// The newest revision, as somebody wrote it.
    pub revision: i32,
    /// `job_status.state` of that revision; `None`: nobody has answered.
    pub status: Option<JobStatus>,
    /// The newest ready revision, which runs use.
    pub ready: Option<i32>,
    /// No run of it starts by itself.
    pub paused: bool,
    /// `keyspace.table`, as far as it is known.
    pub source: Option<String>,
    /// `keyspace.table`, as far as it is known.
    pub target: Option<String>,
    /// The last run that has ended.
    pub last: Option<Run>,
    /// Runs that have not.
    pub open: Vec<OpenRun>,
}

/// A run that has not ended.
#[derive(Debug)]
pub struct OpenRun {
    /// Its row.
    pub run: Run,
    /// Splits that are finished.
    pub done: usize,
    /// Splits under a lease whose holder is not known to be gone; `None`: too many to look.
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

/// `None` for a job that was deleted, or has no revision.
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
    /// For people: the state of the newest revision.
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
                    "nobody works on run {} of {name}, {} of {} splits are done; `helenus score {}` goes on with it",
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
