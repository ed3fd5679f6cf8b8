//! An arm's outcomes, and its covariates where there are some, as sums that can be merged.

use serde::{Deserialize, Serialize};

use super::interval::Estimate;

/// Count, means and co-moments (Chan et al. 1983, Pébay 2008).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmSums {
    pub n: u64,
    pub mean: f64,
    /// Sum of the squared deviations of the outcomes.
    pub squares: f64,
    /// Mean of the covariates.
    pub covariate_mean: f64,
    /// Sum of the squared deviations of the covariates.
    pub covariate_squares: f64,
    /// Sum of the products of both deviations.
    pub products: f64,
}

impl ArmSums {
    /// Adds one observation.
    pub fn add(&mut self, outcome: f64, covariate: Option<f64>) {
        self.merge(&Self {
            n: 1,
            mean: outcome,
            covariate_mean: covariate.unwrap_or_default(),
            ..Self::default()
        });
    }

    /// Adds the observations of another part.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (mine, theirs) = (self.n as f64, other.n as f64);
        let all = mine + theirs;
        let step = other.mean - self.mean;
        let covariate_step = other.covariate_mean - self.covariate_mean;
        let weight = mine * theirs / all;
        self.squares += other.squares + step * step * weight;
        self.covariate_squares += other.covariate_squares + covariate_step.powi(2) * weight;
        self.products += other.products + step * covariate_step * weight;
        self.mean += step * theirs / all;
        self.covariate_mean += covariate_step * theirs / all;
        self.n += other.n;
    }

    /// Returns the mean with its standard error; `None` for fewer than two observations.
    pub fn estimate(&self) -> Option<Estimate> {
        (self.n > 1).then(|| Estimate::of_mean(self.mean, self.variance(self.squares), self.n))
    }

    /// Returns a sum of squares or products as a variance or covariance.
    pub fn variance(&self, sum: f64) -> f64 {
        sum / (self.n as f64 - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_merge_to_the_sums_of_the_whole() {
        let value = |i: i32| (f64::from(i).sin() * 1e3, f64::from(i).cos() + 7.0);
        let mut whole = ArmSums::default();
        let mut parts = [ArmSums::default(); 7];
        for i in 0..1_000 {
            let (x, y) = value(i);
            whole.add(x, Some(y));
            parts[i as usize * 7 / 1_000].add(x, Some(y));
        }
        let mut merged = ArmSums::default();
        parts.iter().for_each(|part| merged.merge(part));
        merged.merge(&ArmSums::default());
        assert_eq!(merged.n, 1_000);
        for (a, b) in [
            (merged.mean, whole.mean),
            (merged.squares, whole.squares),
            (merged.covariate_mean, whole.covariate_mean),
            (merged.covariate_squares, whole.covariate_squares),
            (merged.products, whole.products),
        ] {
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
        }
    }
}
