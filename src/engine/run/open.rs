//! Finds the open runs.

use std::collections::BTreeSet;

use super::close;
use crate::{
    domain::run::{Run, RunState},
    metrics,
    store::{Store, driver::error::StoreError},
};

/// Returns all runs that workers may work on now, and frees the tables of runs that ended without
/// doing so.
pub async fn open_runs(store: &Store) -> Result<Vec<Run>, StoreError> {
    let mut runs = Vec::new();
    let mut seen = Vec::new();
    for job in store.job_names().await? {
        let open: BTreeSet<_> = store
            .open_runs(&job)
            .await?
            .into_iter()
            .filter_map(|row| row.run_id)
            .collect();
        for run_id in open {
            let run = store.run(&job, run_id).await?;
            seen.extend(run.as_ref().map(|run| (run.state, run.due_at)));
            match run {
                Some(run) if run.state.is_terminal() => close::free(store, &run).await?,
                Some(run) if run.state == RunState::Running => runs.push(run),
                // Its planner is still working, or the next request takes its place.
                _ => {}
            }
        }
    }
    metrics::open_runs(&seen);
    Ok(runs)
}
