//! Estimates the number of pending rows from a sample of token ranges.
//!
//! Each cluster is a sequence of neighbouring rows from a random token on: `rows`, `pending` of
//! them, over `width` tokens. With R = Σ pending / Σ width the table has R × 2^64 pending rows (the
//! ratio estimator of cluster sampling; W. G. Cochran, *Sampling Techniques*, 3rd ed., 1977, §6.3),
//! with the variance of its formula 6.13: Σ (pending_i − R width_i)² / (k (k − 1) w̄²), w̄ the mean
//! width. The interval is ± t × √variance, t of Student's distribution with k − 1 degrees of freedom
//! at 95 %. If no sampled row is pending, the upper end is 3 rows of the sample (the rule of three):
//! a few pending rows among millions are likely to be missed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Number of tokens of the ring.
const RING: f64 = 18_446_744_073_709_551_616.0;

/// 95 % quantiles of Student's t (two-sided), by degrees of freedom from 1 on.
const STUDENT: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
];

/// A sampled sequence of neighbouring rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Source rows.
    pub rows: u64,
    /// Rows that are pending for at least one version.
    pub pending: u64,
    /// Number of tokens covered.
    pub width: u64,
}

/// `trigger_status.estimate`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// When the sample was taken.
    pub at: DateTime<Utc>,
    /// Estimated number of source rows.
    pub rows: u64,
    /// Estimated number of pending rows.
    pub pending: u64,
    /// Lower end of the 95 % confidence interval.
    pub low: u64,
    /// Upper end.
    pub high: u64,
    /// Whether all rows were counted, so that there is no sampling error.
    pub exact: bool,
    /// Number of sampled rows.
    pub sampled: u64,
    /// Since when estimates have found pending rows that no run has scored.
    pub pending_since: Option<DateTime<Utc>>,
}

impl Estimate {
    /// Returns an exact result: all rows were read.
    pub fn counted(at: DateTime<Utc>, rows: u64, pending: u64) -> Self {
        Self {
            at,
            rows,
            pending,
            low: pending,
            high: pending,
            exact: true,
            sampled: rows,
            pending_since: None,
        }
    }

    /// Extrapolates from at least two clusters.
    pub fn sampled(at: DateTime<Utc>, clusters: &[Cluster]) -> Self {
        let count = clusters.len() as f64;
        let sum = |of: fn(&Cluster) -> u64| {
            clusters
                .iter()
                .map(|cluster| of(cluster) as f64)
                .sum::<f64>()
        };
        let (rows, pending, width) = (
            sum(|cluster| cluster.rows),
            sum(|cluster| cluster.pending),
            sum(|cluster| cluster.width).max(1.0),
        );
        let density = pending / width;
        let squares: f64 = clusters
            .iter()
            .map(|cluster| (cluster.pending as f64 - density * cluster.width as f64).powi(2))
            .sum();
        let mean_width = width / count;
        let deviation = (squares / (count * (count - 1.0).max(1.0))).sqrt() / mean_width;
        let freedom = clusters.len().saturating_sub(1).clamp(1, STUDENT.len());
        let error = STUDENT[freedom - 1] * deviation * RING;
        let (all_rows, all_pending) = (rows / width * RING, density * RING);
        let high = match pending > 0.0 {
            true => all_pending + error,
            false => 3.0 / width * RING,
        };
        Self {
            at,
            rows: all_rows.round() as u64,
            pending: all_pending.round() as u64,
            low: (all_pending - error).max(pending).round() as u64,
            high: high.round() as u64,
            exact: false,
            sampled: rows as u64,
            pending_since: None,
        }
    }

    /// Sets since when rows have been pending: since the first of the estimates that found some, or
    /// since the start of the last run over the whole ring, which scored all earlier ones.
    pub fn since(mut self, before: Option<&Self>, last_run_started: Option<DateTime<Utc>>) -> Self {
        self.pending_since = (self.pending > 0).then(|| {
            let first = before
                .and_then(|before| before.pending_since)
                .unwrap_or(self.at);
            last_run_started
                .map_or(first, |started| first.max(started))
                .min(self.at)
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn even_clusters_give_the_share_without_error() {
        let clusters = [Cluster {
            rows: 100,
            pending: 25,
            width: u64::MAX / 1_000,
        }; 16];
        let estimate = Estimate::sampled(at(0), &clusters);
        assert_eq!((estimate.rows, estimate.pending), (100_000, 25_000));
        assert_eq!((estimate.low, estimate.high), (25_000, 25_000));
    }

    #[test]
    fn clusters_that_differ_widen_the_interval_and_none_pending_leaves_three_rows() {
        let width = u64::MAX / 1_000;
        let clusters: Vec<Cluster> = (0..16)
            .map(|at| Cluster {
                rows: 100,
                pending: if at % 2 == 0 { 50 } else { 0 },
                width,
            })
            .collect();
        let estimate = Estimate::sampled(at(0), &clusters);
        assert_eq!(estimate.pending, 25_000);
        // Deviation of a mean of 16 that are 0 or 50: 50/2 × √(16/15)/4; t = 2.131.
        let error = 2.131 * 25.0 * (16.0_f64 / 15.0).sqrt() / 4.0 * 1_000.0;
        assert!(
            (estimate.high as f64 - 25_000.0 - error).abs() < 2.0,
            "{estimate:?}"
        );
        assert!(
            (25_000.0 - estimate.low as f64 - error).abs() < 2.0,
            "{estimate:?}"
        );
        let none = [Cluster {
            rows: 100,
            pending: 0,
            width,
        }; 12];
        let estimate = Estimate::sampled(at(0), &none);
        assert_eq!((estimate.low, estimate.pending), (0, 0));
        // Three rows of 12 thousandths of the ring.
        assert_eq!(estimate.high, 250);
    }

    #[test]
    fn rows_wait_since_they_were_first_seen_or_since_the_last_run() {
        let first = Estimate::counted(at(0), 10, 3).since(None, None);
        assert_eq!(first.pending_since, Some(at(0)));
        let second = Estimate::counted(at(30), 10, 2).since(Some(&first), None);
        assert_eq!(second.pending_since, Some(at(0)));
        let after_run = Estimate::counted(at(60), 10, 1).since(Some(&second), Some(at(40)));
        assert_eq!(after_run.pending_since, Some(at(40)));
        let none = Estimate::counted(at(90), 10, 0).since(Some(&after_run), None);
        assert_eq!(none.pending_since, None);
    }
}
