//! Comparison of two versions on the same rows.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF, Discrete, DiscreteCDF, StudentsT};

use super::{Merge, moments::Moments};

/// One version against the baseline, row by row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Its loss minus the baseline's, in the order of the task's losses.
    pub losses: Vec<Moments>,
    /// Rows that only one of them classified correctly.
    pub discordant: Discordant,
}

/// A version's losses on one row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged {
    /// In the order of the task's losses; `None`: there is no such loss.
    pub losses: [Option<f64>; 2],
    /// Whether its decision was right; `None`: it makes no decisions.
    pub right: Option<bool>,
}

impl Paired {
    /// Adds one row.
    pub fn add(&mut self, judged: &Judged, baseline: &Judged) {
        self.losses.resize_with(2, Moments::default);
        let pairs = judged.losses.iter().zip(&baseline.losses);
        for (moments, pair) in self.losses.iter_mut().zip(pairs) {
            if let (Some(own), Some(other)) = pair {
                moments.add(own - other);
            }
        }
        if let (Some(right), Some(baseline)) = (judged.right, baseline.right) {
            self.discordant.add(right, baseline);
        }
    }
}

impl Merge for Paired {
    fn merge(&mut self, other: &Self) {
        self.losses.merge(&other.losses);
        self.discordant.merge(&other.discordant);
    }
}

/// Rows on which exactly one of two versions is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discordant {
    /// Only this version is right.
    pub gained: u64,
    /// Only the baseline is right.
    pub lost: u64,
}

impl Discordant {
    pub fn add(&mut self, right: bool, baseline_right: bool) {
        self.gained += u64::from(right && !baseline_right);
        self.lost += u64::from(!right && baseline_right);
    }

    /// Returns the mid-p of McNemar's test (Fagerland, Lydersen, Laake 2013): twice the probability
    /// of fewer than min(gained, lost) heads in gained + lost throws, plus that of exactly as many.
    /// Valid only for independent rows: one row per entity.
    pub fn mid_p(&self) -> f64 {
        let (n, least) = (self.gained + self.lost, self.gained.min(self.lost));
        let Ok(throws) = Binomial::new(0.5, n) else {
            return 1.0;
        };
        if n == 0 {
            return 1.0;
        }
        let p = match self.gained == self.lost {
            true => 1.0 - 0.5 * throws.pmf(least),
            false => 2.0 * throws.cdf(least) - throws.pmf(least),
        };
        p.clamp(0.0, 1.0)
    }
}

impl Merge for Discordant {
    fn merge(&mut self, other: &Self) {
        self.gained += other.gained;
        self.lost += other.lost;
    }
}

/// Returns the two-sided p of a paired t-test of mean difference zero; `None` for fewer than two
/// rows or without any spread. Valid only for independent rows: one row per entity.
pub fn paired_t(differences: &Moments) -> Option<f64> {
    let n = differences.n as f64;
    if differences.n < 2 || differences.m2 == 0.0 {
        return None;
    }
    let standard_error = (differences.m2 / (n - 1.0) / n).sqrt();
    let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    Some(2.0 * t.sf((differences.mean()? / standard_error).abs()))
}
