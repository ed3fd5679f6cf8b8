//! Intervals by leaving out one group at a time (Miller 1974; Kott 2001, "delete-a-group").

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer groups than this say too little about the spread of an estimate.
pub const ENOUGH_GROUPS: usize = 10;

/// How far an estimate may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Square root of (G - 1)/G x sum over groups of (estimate without it - their mean)^2.
    pub standard_error: f64,
    /// Groups that were left out in turn.
    pub groups: usize,
}

impl Spread {
    /// From the estimate without each group; `None` with fewer than [`ENOUGH_GROUPS`].
    pub fn of(left_out: &[f64]) -> Option<Self> {
        let groups = left_out.len();
        if groups < ENOUGH_GROUPS || left_out.iter().any(|estimate| !estimate.is_finite()) {
            return None;
        }
        let n = groups as f64;
        let mean = left_out.iter().sum::<f64>() / n;
        let squares: f64 = left_out.iter().map(|one| (one - mean).powi(2)).sum();
        Some(Self {
            standard_error: (squares * (n - 1.0) / n).sqrt(),
            groups,
        })
    }

    /// Half the width of an interval of `confidence` (0.95) by Student's t with G - 1 degrees of
    /// freedom.
    pub fn margin(&self, confidence: f64) -> f64 {
        self.student()
            .map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + confidence / 2.0))
            * self.standard_error
    }

    /// Two-sided p of an estimate whose truth would be zero.
    pub fn p_value(&self, estimate: f64) -> Option<f64> {
        if self.standard_error == 0.0 {
            return Some(if estimate == 0.0 { 1.0 } else { 0.0 });
        }
        let t = (estimate / self.standard_error).abs();
        Some(2.0 * self.student()?.sf(t))
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.groups as f64 - 1.0).ok()
    }
}

/// The spread of a difference: both estimates without the same group.
pub fn difference(a: &BTreeMap<u8, f64>, b: &BTreeMap<u8, f64>) -> Option<Spread> {
    if !a.keys().eq(b.keys()) {
        return None;
    }
    let left_out: Vec<f64> = a.values().zip(b.values()).map(|(a, b)| a - b).collect();
    Spread::of(&left_out)
}
