//! The heartbeat of a run in state `planning`. Such a run has no splits to heartbeat, so its rows
//! of `open_runs` are rewritten periodically.

use std::{collections::BTreeSet, time::Duration};

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    domain::run::lease::{Seen, Watch},
    failure::Failure,
    store::{Store, driver::error::StoreError},
};

/// Runs `work` while a separate task keeps rewriting the run's place (job, versions, run) in
/// `open_runs`.
/// Returns `None` if the run lost its place; `work` was dropped.
pub async fn beating<T>(
    store: &Store,
    (job, versions, run_id): (&str, &BTreeSet<i32>, Uuid),
    work: impl Future<Output = Result<T, Failure>>,
) -> Option<Result<T, Failure>> {
    // Dropping the set with this function aborts its task.
    let mut heart = JoinSet::new();
    let (store, job, versions) = (store.clone(), job.to_owned(), versions.clone());
    heart.spawn(async move { until_lost(&store, &job, &versions, run_id).await });
    tokio::select! {
        done = work => Some(done),
        _ = heart.join_next() => None,
    }
}

async fn until_lost(store: &Store, job: &str, versions: &BTreeSet<i32>, run_id: Uuid) {
    let lease = store.settings().lease;
    let mut pause = lease / 3;
    loop {
        tokio::time::sleep(pause).await;
        // Without the timeout, one hanging request would be the only heartbeat of a lease time.
        let beat = store.refresh_open_run(job, versions, run_id);
        pause = match tokio::time::timeout(lease / 3, beat).await {
            Ok(Ok(true)) => lease / 3,
            Ok(Ok(false)) => return,
            // The next heartbeat may arrive. If another process takes the place over meanwhile, it
            // will return `false`.
            Ok(Err(error)) => {
                tracing::warn!(%run_id, %error, "the run's heartbeat");
                lease / 10
            }
            Err(_) => lease / 10,
        };
    }
}

/// Returns when the planner of a run last wrote its place.
///
/// # Errors
/// Cassandra's errors.
pub async fn planners_beat(store: &Store, job: &str, run_id: Uuid) -> Result<Seen, StoreError> {
    let rows = store.open_runs(job).await?;
    let mine = rows.iter().filter(|row| row.run_id == Some(run_id));
    Ok(Seen {
        epoch: 0,
        beat: mine.filter_map(|row| row.written_at).max().unwrap_or(0),
    })
}

/// Returns the watch of `holder`: the earlier one with this observation added, or a new one if
/// another holder was watched before.
pub fn watch_on(before: Option<(Uuid, Watch)>, holder: Uuid, seen: Seen, now: Duration) -> Watch {
    match before {
        Some((watched, mut watch)) if watched == holder => {
            watch.observe(seen, now);
            watch
        }
        _ => Watch::new(seen, now),
    }
}
