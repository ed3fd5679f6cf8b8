//! Time limits of calls, derived from the time of earlier rows.
//!
//! A hung call differs from a slow one only by time, so a limit that is too short merely costs
//! time: the batch is tried again in parts, and a row is refused only after [`Pace::lone`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::Subject;
use crate::domain::model::Signature;

/// Minimum limit: a machine may be busy with something else for this long.
const LEAST: Duration = Duration::from_millis(500);
/// Ratio of a call's limit to the usual time of its rows.
const TIMES: f64 = 20.0;
/// Limit while a version's speed is unknown: admission scored some 400 rows within its own limit.
const UNKNOWN: Duration = Duration::from_secs(5);
const UNKNOWN_ROW: Duration = Duration::from_millis(5);
/// The same two on a thread for which other jobs wait: these must not wait for a second.
const LEAST_SHARED: Duration = Duration::from_millis(300);
const UNKNOWN_SHARED: Duration = Duration::from_millis(500);
/// Minimum limit for loading, whose time is unpredictable and independent of rows.
const LOADING: Duration = Duration::from_secs(60);
/// Limit for a single row before it is refused.
const LONE: Duration = Duration::from_secs(10);

/// Time per row of each version.
#[derive(Debug)]
pub(super) struct Pace {
    /// Nanoseconds; 0 while unknown.
    row: Vec<AtomicU64>,
    /// Rows are padded to a multiple of this.
    fixed: Vec<usize>,
    /// Minimum limit.
    least: Duration,
    /// The setting `batch_timeout`.
    most: Duration,
}

impl Pace {
    pub(super) fn new(signatures: &[Signature], most: Duration, subject: &Subject) -> Self {
        let fixed = |signature: &Signature| signature.fixed_batch.unwrap_or(1).max(1);
        Self {
            row: signatures.iter().map(|_| AtomicU64::new(0)).collect(),
            fixed: signatures.iter().map(fixed).collect(),
            least: match subject {
                Subject::Model => LEAST,
                // An image may have a thousand times as many pixels as those before it.
                Subject::Preparation(_) => LONE,
            },
            most,
        }
    }

    /// Returns the limit for starting a process and loading its models.
    pub(super) fn loading(&self) -> Duration {
        self.most.max(LOADING)
    }

    /// Records the time of `rows` rows.
    pub(super) fn note(&self, version: usize, rows: usize, took: Duration) {
        let (Some(row), rows) = (self.row.get(version), self.padded(version, rows)) else {
            return;
        };
        let one = (took.as_nanos() as u64 / rows.max(1) as u64).max(1);
        let next = match row.load(Ordering::Relaxed) {
            0 => one,
            // If two threads record at the same time, one record is lost.
            known => (known.saturating_mul(3).saturating_add(one)) / 4,
        };
        row.store(next.max(1), Ordering::Relaxed);
    }

    /// Returns the limit for a call of `rows` rows on a thread that is not shared.
    pub(super) fn limit(&self, version: usize, rows: usize) -> Duration {
        let limit = self.usual(version, rows).unwrap_or_else(|| {
            let rows = u32::try_from(self.padded(version, rows)).unwrap_or(u32::MAX);
            UNKNOWN.saturating_add(UNKNOWN_ROW.saturating_mul(rows))
        });
        limit.max(self.least).min(self.most)
    }

    /// Returns the limit for a call on a thread for which others wait.
    pub(super) fn shared(&self, version: usize, rows: usize) -> Duration {
        let usual = self.usual(version, rows);
        usual
            .map_or(UNKNOWN_SHARED, |usual| usual.max(LEAST_SHARED))
            .min(self.most)
    }

    /// Returns the limit for one row, alone, before it is refused.
    pub(super) fn lone(&self, version: usize) -> Duration {
        let usual = self.usual(version, 1).unwrap_or_default();
        LONE.max(usual.saturating_mul(5)).min(self.most)
    }

    /// Returns whether a version's speed is known.
    pub(super) fn is_known(&self, version: usize) -> bool {
        self.usual(version, 1).is_some()
    }

    fn usual(&self, version: usize, rows: usize) -> Option<Duration> {
        let row = self.row.get(version)?.load(Ordering::Relaxed);
        let nanos = row as f64 * self.padded(version, rows) as f64 * TIMES;
        (row > 0).then(|| Duration::from_nanos(nanos as u64))
    }

    fn padded(&self, version: usize, rows: usize) -> usize {
        rows.next_multiple_of(self.fixed.get(version).copied().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(fixed_batch: Option<usize>) -> Pace {
        let signature = Signature {
            inputs: Vec::new(),
            outputs: Vec::new(),
            fixed_batch,
        };
        Pace::new(&[signature], Duration::from_secs(300), &Subject::Model)
    }

    #[test]
    fn limits_follow_what_rows_took_and_have_a_floor_and_a_ceiling() {
        let pace = pace(None);
        assert_eq!(pace.limit(0, 512), Duration::from_millis(7_560));
        assert_eq!(pace.shared(0, 512), UNKNOWN_SHARED);
        pace.note(0, 512, Duration::from_millis(512));
        assert_eq!(pace.limit(0, 512), Duration::from_millis(10_240));
        assert_eq!((pace.limit(0, 8), pace.shared(0, 8)), (LEAST, LEAST_SHARED));
        assert_eq!(pace.lone(0), LONE);
        pace.note(0, 1, Duration::from_secs(4));
        assert!(pace.lone(0) > Duration::from_secs(60), "{:?}", pace.lone(0));
        assert_eq!(pace.limit(0, 1_000_000), Duration::from_secs(300));
        // A version that is not there is refused elsewhere.
        assert_eq!(pace.shared(7, 1), UNKNOWN_SHARED);
    }

    #[test]
    fn padding_counts_as_rows() {
        let pace = pace(Some(100));
        pace.note(0, 100, Duration::from_secs(1));
        assert_eq!(pace.limit(0, 1), Duration::from_secs(20));
    }
}
