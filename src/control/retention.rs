//! Removes old runs: `keep_runs` after they were due, first their splits and then their rows.
//!
//! Some runs are never removed: runs that `open_runs` names, the newest `KEPT` of a job, and, for
//! each version, the newest succeeded run over the whole ring, since coverage is judged by it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    domain::run::RunState,
    failure::Failure,
    store::{Store, admin::retention::RunHead},
};

/// Newest runs of a job that are kept, however old.
const KEPT: usize = 10;
/// Runs of a job that are searched for a newer one that makes an old one dispensable.
const NEWER: i32 = 1_000;
/// Runs of a job removed in one pass.
const AT_ONCE: i32 = 200;
/// Splits after which a pass starts no further run; the next pass removes the rest.
const SPLITS: i32 = 5_000;

/// What a pass removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub runs: usize,
    /// Splits that the removed runs were planned with.
    pub splits: i32,
}

/// Makes one pass over all jobs. If nothing is old enough, it costs one small read per job.
///
/// # Errors
/// Errors of Cassandra; the next pass finds what is left.
pub async fn run_once(store: &Store, now: DateTime<Utc>) -> Result<Removed, Failure> {
    let keep = TimeDelta::from_std(store.config().keep_runs).unwrap_or(TimeDelta::MAX);
    let Some(before) = now.checked_sub_signed(keep) else {
        return Ok(Removed::default());
    };
    let mut removed = Removed::default();
    for job in store.job_names().await? {
        let old = store.runs_before(&job, before, AT_ONCE).await?;
        if old.is_empty() {
            continue;
        }
        let newest = store.newest_runs(&job, NEWER).await?;
        let open: BTreeSet<Uuid> = store
            .open_runs(&job)
            .await?
            .into_iter()
            .filter_map(|row| row.run_id)
            .collect();
        // Oldest first: what a full pass leaves is younger than what it removed.
        for run in old.iter().rev() {
            if removed.splits >= SPLITS {
                return Ok(removed);
            }
            if open.contains(&run.run_id) || !is_dispensable(run, &newest, before) {
                continue;
            }
            store.remove_run(&job, run).await?;
            removed.runs += 1;
            removed.splits += run.splits;
        }
    }
    Ok(removed)
}

fn is_dispensable(run: &RunHead, newest: &[RunHead], before: DateTime<Utc>) -> bool {
    let ended = run.state.is_some_and(RunState::is_terminal);
    // Missed ticks run late: a run that was due long ago may have ended just now.
    let lately = run.finished_at.is_some_and(|at| at >= before);
    let among_the_newest = newest.iter().take(KEPT).any(|new| new.run_id == run.run_id);
    ended && !lately && !among_the_newest && !is_last_of_a_version(run, newest)
}

/// Returns whether the run is the newest known succeeded run over the whole ring for one of its
/// versions.
fn is_last_of_a_version(run: &RunHead, newest: &[RunHead]) -> bool {
    let covers = |run: &RunHead| run.whole && run.state == Some(RunState::Succeeded);
    let newer = || {
        newest
            .iter()
            .take_while(|new| new.run_id != run.run_id)
            .filter(|new| covers(new))
    };
    covers(run)
        && !run
            .versions
            .iter()
            .all(|version| newer().any(|new| new.versions.contains(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: u128, state: RunState, versions: &[i32], whole: bool) -> RunHead {
        RunHead {
            run_id: Uuid::from_u128(id),
            state: Some(state),
            versions: versions.iter().copied().collect(),
            whole,
            splits: 1,
            finished_at: None,
        }
    }

    #[test]
    fn the_last_whole_success_of_each_version_stays() {
        let old = head(1, RunState::Succeeded, &[1, 2], true);
        let after = |run: RunHead| is_last_of_a_version(&old, &[run, old.clone()]);
        assert!(after(head(2, RunState::Failed, &[1, 2], true)));
        assert!(after(head(2, RunState::Succeeded, &[1, 2], false)));
        assert!(after(head(2, RunState::Succeeded, &[1], true)));
        assert!(!after(head(2, RunState::Succeeded, &[1, 2, 3], true)));
        // The run is beyond the newest runs that were read; newer ones are unknown only if there
        // are many.
        assert!(is_last_of_a_version(&old, &[]));
        let part = head(1, RunState::Succeeded, &[1], false);
        assert!(!is_last_of_a_version(&part, &[]));
    }

    #[test]
    fn what_has_not_ended_or_ended_lately_stays() {
        let now = Utc::now();
        let mut run = head(1, RunState::Running, &[1], false);
        assert!(!is_dispensable(&run, &[], now));
        run.state = None;
        assert!(!is_dispensable(&run, &[], now));
        run.state = Some(RunState::Failed);
        assert!(is_dispensable(&run, &[], now));
        run.finished_at = Some(now);
        assert!(!is_dispensable(&run, &[], now));
    }
}
