//! Reads what a decision needs to know about a job.

use std::collections::BTreeSet;

use crate::{
    domain::{
        run::RunState,
        trigger::{
            Trigger,
            decide::{Facts, JobIs, News, OpenRun},
        },
    },
    store::{Store, driver::error::StoreError},
};

/// Returns the facts of a job that nothing blocks.
pub fn quiet() -> Facts {
    Facts {
        job: JobIs::Active,
        open: None,
        news: News::None,
    }
}

/// Reads what currently blocks a run.
pub async fn read(store: &Store, trigger: &Trigger, news: News) -> Result<Facts, StoreError> {
    Ok(Facts {
        job: job(store, &trigger.job).await?,
        open: open_run(store, trigger).await?,
        news,
    })
}

async fn job(store: &Store, job: &str) -> Result<JobIs, StoreError> {
    let rows = store.job_rows(job).await?;
    Ok(if rows.iter().any(|row| row.deleted == Some(true)) {
        JobIs::Deleted
    } else if rows.iter().any(|row| row.paused == Some(true)) {
        JobIs::Paused
    } else {
        JobIs::Active
    })
}

/// Returns a run that is being worked on, over any version that the trigger is about. A run that is
/// still being planned does not count: planning handles planners that vanished.
async fn open_run(store: &Store, trigger: &Trigger) -> Result<Option<OpenRun>, StoreError> {
    let is_about = |version: i32| {
        let versions = trigger.versions.as_ref();
        versions.is_none_or(|versions| versions.contains(&version))
    };
    let open: BTreeSet<_> = store
        .open_runs(&trigger.job)
        .await?
        .into_iter()
        .filter(|row| is_about(row.version))
        .filter_map(|row| row.run_id)
        .collect();
    for run_id in open {
        if let Some(run) = store.run(&trigger.job, run_id).await?
            && matches!(run.state, RunState::Running | RunState::Waiting)
        {
            let asked_for = run.request_id.is_some();
            return Ok(Some(OpenRun { run_id, asked_for }));
        }
    }
    Ok(None)
}
