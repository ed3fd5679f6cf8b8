//! Count, mean and sum of squared deviations, mergeable without cancellation.

use serde::{Deserialize, Serialize};

use super::Merge;

/// n, mean and M2 = sum of (x - mean)^2 (Chan, Golub, LeVeque 1983). The mean is kept as a sum of two
/// numbers: values far from zero (timestamps, amounts in cents) would lose their variance otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Values seen.
    pub n: u64,
    mean: f64,
    /// The part of the mean beyond the precision of `mean`.
    rest: f64,
    /// Sum of squared deviations from the mean.
    pub m2: f64,
}

impl Moments {
    /// Adds one value (Welford 1962).
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let delta = self.beyond(value, 0.0);
        self.move_mean(delta / self.n as f64);
        self.m2 += delta * self.beyond(value, 0.0);
    }

    /// Returns the mean; `None` without values.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean + self.rest)
    }

    /// Returns the sum of the values.
    pub fn sum(&self) -> f64 {
        (self.mean + self.rest) * self.n as f64
    }

    /// Returns the distance of value + rest from the mean.
    fn beyond(&self, value: f64, rest: f64) -> f64 {
        (value - self.mean) + (rest - self.rest)
    }

    /// Moves the mean, keeping what the addition rounds away (Knuth's two-sum).
    fn move_mean(&mut self, by: f64) {
        let by = by + self.rest;
        let sum = self.mean + by;
        let added = sum - self.mean;
        self.rest = (self.mean - (sum - added)) + (by - added);
        self.mean = sum;
    }
}

impl Merge for Moments {
    fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let delta = self.beyond(other.mean, other.rest);
        self.n += other.n;
        self.move_mean(delta * b / (a + b));
        self.m2 += other.m2 + delta * delta * a * b / (a + b);
    }
}
