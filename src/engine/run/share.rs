//! Requests that share a run: one that does the same and began after they were made.

use std::collections::BTreeSet;

use super::plan::RunSpec;
use crate::{
    domain::run::{Run, RunState},
    engine::clock,
    store::{Store, driver::error::StoreError, runs::open_runs::OpenRun},
};

/// Newest runs among which one that has ended is searched for.
const SEARCHED: i32 = 20;

/// Returns whether a run reads every row as it was when the request was made, or newer.
/// Its base is on Cassandra's clock and the request's time on the requester's; these may differ by
/// as much as helenus allows.
pub fn began_after(run: &Run, wish: &RunSpec) -> bool {
    let Some(base) = run.run_base else {
        return false;
    };
    let asked_by = wish.due_at + clock::LIMIT;
    base > asked_by.timestamp_micros() || wish.after.is_some_and(|before| before < base)
}

/// Returns the run that did the same after [`RunSpec::after`] and has already ended: of several
/// requests that waited for one run, the others share the run of the first. Call it with the
/// versions taken (`opened` as read afterwards), so that no such run can end unseen.
pub(super) async fn ended_since(
    store: &Store,
    wish: &RunSpec,
    revision: i32,
    versions: &BTreeSet<i32>,
    opened: &[OpenRun],
) -> Result<Option<Run>, StoreError> {
    let Some(after) = wish.after else {
        return Ok(None);
    };
    let mut taken = opened.iter().filter(|row| versions.contains(&row.version));
    if !taken.any(|row| row.last_base > Some(after)) {
        return Ok(None);
    }
    let runs = store.runs(&wish.job, SEARCHED).await?;
    Ok(runs.into_iter().find(|run| {
        run.state == RunState::Succeeded
            && run.scope == wish.scope
            && run.versions == *versions
            && run.job_revision == revision
            && run.run_base > Some(after)
    }))
}
