//! Losses of one prediction.

use super::Precision;

/// Returns -ln of the true class's probability, clipped by [`Precision::clip`].
///
/// Like scikit-learn's `log_loss`: the other class's probability is 1 - p in the stored type.
pub fn binary_log_loss(precision: Precision, positive: bool, probability: f64) -> f64 {
    let given = match positive {
        true => probability,
        false => precision.round(1.0 - probability),
    };
    log_loss(precision, given)
}

/// Returns -ln of the true class's probability.
pub fn log_loss(precision: Precision, given: f64) -> f64 {
    -precision.clip(given).ln()
}

/// Returns (truth - probability)^2 (Brier 1950).
pub fn brier(positive: bool, probability: f64) -> f64 {
    (f64::from(u8::from(positive)) - probability).powi(2)
}
