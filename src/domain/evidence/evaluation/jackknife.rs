//! Intervals by the delete-a-group jackknife (Miller 1974; Kott 2001).

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Minimum number of groups for an estimate of the spread.
pub const ENOUGH_GROUPS: usize = 10;
/// A spread below this share of the estimates is rounding error.
const ROUNDING: f64 = 1e-13;

/// The spread of an estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Square root of (G - 1)/G x sum over groups of (estimate without it - their mean)^2.
    pub standard_error: f64,
    /// Groups that were left out in turn.
    pub groups: usize,
}

impl Spread {
    /// Computes the spread of the estimates without each group; `None` for fewer than
    /// [`ENOUGH_GROUPS`].
    pub fn from_estimates(left_out: &[f64]) -> Option<Self> {
        let size = left_out
            .iter()
            .fold(0.0, |most: f64, one| most.max(one.abs()));
        Self::from_estimates_of_size(left_out, size)
    }

    /// Does the same for differences of estimates of this size.
    fn from_estimates_of_size(left_out: &[f64], size: f64) -> Option<Self> {
        let groups = left_out.len();
        if groups < ENOUGH_GROUPS || left_out.iter().any(|estimate| !estimate.is_finite()) {
            return None;
        }
        let n = groups as f64;
        let mean = left_out.iter().sum::<f64>() / n;
        let squares: f64 = left_out.iter().map(|one| (one - mean).powi(2)).sum();
        let standard_error = (squares * (n - 1.0) / n).sqrt();
        Some(Self {
            standard_error: match standard_error <= ROUNDING * size {
                true => 0.0,
                false => standard_error,
            },
            groups,
        })
    }

    /// Returns half the width of an interval of `confidence` (0.95) by Student's t with G - 1
    /// degrees of freedom; `None` if no group changes the estimate, which is no evidence of its
    /// precision.
    pub fn margin(&self, confidence: f64) -> Option<f64> {
        let t = self.student()?.inverse_cdf(0.5 + confidence / 2.0);
        (self.standard_error > 0.0).then_some(t * self.standard_error)
    }

    /// Returns the two-sided p of the hypothesis that the true value is zero; `None` if no group
    /// changes an estimate that is not zero.
    pub fn p_value(&self, estimate: f64) -> Option<f64> {
        if self.standard_error == 0.0 {
            return (estimate == 0.0).then_some(1.0);
        }
        let t = (estimate / self.standard_error).abs();
        Some(2.0 * self.student()?.sf(t))
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.groups as f64 - 1.0).ok()
    }
}

/// Returns the spread of a difference of two estimates without the same group.
pub fn difference(a: &BTreeMap<u8, f64>, b: &BTreeMap<u8, f64>) -> Option<Spread> {
    if !a.keys().eq(b.keys()) {
        return None;
    }
    let left_out: Vec<f64> = a.values().zip(b.values()).map(|(a, b)| a - b).collect();
    let both = a.values().chain(b.values());
    let size = both.fold(0.0, |most: f64, one| most.max(one.abs()));
    Spread::from_estimates_of_size(&left_out, size)
}
