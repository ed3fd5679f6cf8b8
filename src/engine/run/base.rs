//! Chooses a run's base timestamp, from which all timestamps of its predictions are derived.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use crate::{
    codec::ring::TokenRange,
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
    /// Ranges that earlier runs claimed and did not finish, by version.
    pub left: Vec<(i32, Vec<TokenRange>)>,
}

impl Base {
    /// Returns the ranges that earlier runs left, of any version, each once.
    pub fn unfinished(&self) -> Vec<TokenRange> {
        let ranges = self.left.iter().flat_map(|(_, ranges)| ranges);
        let ranges: BTreeSet<TokenRange> = ranges.copied().collect();
        ranges.into_iter().collect()
    }
}

/// Takes a base above the bases of all earlier runs over its versions, and above that which `above`
/// finds among the rows of other runs. Returns `None` if the run lost its place in `open_runs`.
///
/// # Errors
/// Cassandra's errors.
pub async fn take_base(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
    above: impl Fn(&[OpenRun]) -> Option<i64>,
) -> Result<Option<Base>, Failure> {
    loop {
        if !store.refresh_open_run(job, versions, run_id).await? {
            return Ok(None);
        }
        let opened = store.open_runs(job).await?;
        let (rows, others): (Vec<OpenRun>, Vec<OpenRun>) = opened
            .into_iter()
            .partition(|row| row.run_id == Some(run_id));
        if rows.len() < versions.len() {
            return Ok(None);
        }
        let Some(base) = rows.iter().filter_map(|row| row.written_at).max() else {
            return Ok(None);
        };
        let last = rows.iter().filter_map(|row| row.last_base).max();
        let last = last.max(above(&others));
        if last.is_none_or(|last| base - last >= BASE_GAP_US) {
            return Ok(Some(Base {
                base,
                left: rows
                    .into_iter()
                    .map(|row| (row.version, row.unfinished))
                    .collect(),
            }));
        }
        let_others_go_on().await;
    }
}

/// Sleeps 10 to 20 ms. The jitter keeps two runs that are planned at the same time from overtaking
/// each other forever.
pub async fn let_others_go_on() {
    tokio::time::sleep(Duration::from_millis(10).mul_f64(1.0 + rand::random::<f64>())).await;
}
