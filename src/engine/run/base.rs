//! Chooses a run's base timestamp, from which all timestamps of its predictions are derived.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{current, plan::RunSpec};
use crate::{
    codec::ring::TokenRange,
    engine::jobs::PreparedJob,
    failure::Failure,
    store::{Store, runs::open_runs::OpenRun},
};

/// Minimum distance between the bases of two runs, in microseconds. Each epoch takes 2
/// microseconds, and a split has at most 1,000 epochs.
pub const BASE_GAP_US: i64 = 10_000;

/// A run's base timestamp, and the ranges that it must rewrite.
pub struct Base {
    /// Microseconds since 1970, by Cassandra's clock.
    pub base: i64,
    /// Ranges that earlier runs claimed and did not finish.
    pub unfinished: Vec<TokenRange>,
}

/// Takes a base above the bases of all earlier runs. Returns `None` if the run lost its place in
/// `open_runs`.
///
/// # Errors
/// Cassandra's errors.
pub async fn take_base(
    store: &Store,
    wish: &RunSpec,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<Option<Base>, Failure> {
    loop {
        if !store.refresh_open_run(&wish.job, versions, run_id).await? {
            return Ok(None);
        }
        let opened = store.open_runs(&wish.job).await?;
        let (rows, others): (Vec<OpenRun>, Vec<OpenRun>) = opened
            .into_iter()
            .partition(|row| row.run_id == Some(run_id));
        if rows.len() < versions.len() {
            return Ok(None);
        }
        let Some(base) = rows.iter().filter_map(|row| row.written_at).max() else {
            return Ok(None);
        };
        let mut last = rows.iter().filter_map(|row| row.last_base).max();
        if prepared.job.target.current.is_some() {
            // Runs over other versions may write the same rows of the current table.
            last = last.max(current::newest_base(&others));
        }
        if last.is_none_or(|last| base - last >= BASE_GAP_US) {
            let unfinished: BTreeSet<TokenRange> =
                rows.into_iter().flat_map(|row| row.unfinished).collect();
            let unfinished = unfinished.into_iter().collect();
            return Ok(Some(Base { base, unfinished }));
        }
        let_others_go_on().await;
    }
}

/// Sleeps 10 to 20 ms. The jitter keeps two runs that are planned at the same time from overtaking
/// each other forever.
pub async fn let_others_go_on() {
    tokio::time::sleep(Duration::from_millis(10).mul_f64(1.0 + rand::random::<f64>())).await;
}
