//! Asymptotic confidence sequences: intervals that are valid at every look.

/// Returns half the width of a confidence sequence for an estimate with this standard error on
/// `rows` rows: with probability `confidence`, the intervals of all looks contain the true value,
/// so repeated looks do not inflate false positives.
///
/// Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), theorem 2.2:
/// s sqrt(2 (t r^2 + 1) / (t^2 r^2) x ln(sqrt(t r^2 + 1) / a)), s^2 = t x standard error^2, with r
/// such that the sequence is narrowest at about `tuned_at` rows:
/// r^2 = (-2 ln a + ln(-2 ln a + 1)) / tuned_at.
pub fn margin(standard_error: f64, rows: u64, tuned_at: u64, confidence: f64) -> f64 {
    let alpha = 1.0 - confidence;
    let r2 = rho2(tuned_at, confidence);
    let tr2 = rows as f64 * r2;
    let width = 2.0 * (tr2 + 1.0) / tr2 * ((tr2 + 1.0).sqrt() / alpha).ln();
    standard_error * width.sqrt()
}

/// Returns r^2 of [`margin`].
pub fn rho2(tuned_at: u64, confidence: f64) -> f64 {
    let log = -2.0 * (1.0 - confidence).ln();
    (log + (log + 1.0).ln()) / tuned_at.max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// No difference at all, 40 looks at growing data: how often does any look find one?
    #[test]
    fn looking_again_and_again_finds_nothing_that_is_not_there() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(20_261_121);
        let (mut fired, mut naive) = (0, 0);
        let trials = 2_000;
        for _ in 0..trials {
            let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
            let (mut found, mut found_naively) = (false, false);
            for look in 1..=40_u32 {
                for _ in 0..50 {
                    let x: f64 = rng.random::<f64>() - 0.5;
                    sum += x;
                    squares += x * x;
                }
                let n = f64::from(look * 50);
                let mean = sum / n;
                let error = ((squares / n - mean * mean) / n).sqrt();
                found |= mean.abs() > margin(error, u64::from(look * 50), 500, 0.95);
                found_naively |= mean.abs() > 1.96 * error;
            }
            fired += u32::from(found);
            naive += u32::from(found_naively);
        }
        let share = |count: u32| f64::from(count) / f64::from(trials);
        assert!(share(naive) > 0.2, "{}", share(naive));
        assert!(share(fired) < 0.05, "{}", share(fired));
    }

    #[test]
    fn it_is_wider_than_one_look_and_narrows_with_rows() {
        let at = |rows| margin(1.0 / (rows as f64).sqrt(), rows, 1_000, 0.95);
        assert!(at(1_000) > 1.96 / 1_000_f64.sqrt());
        assert!(at(1_000) < 2.0 * 1.96 / 1_000_f64.sqrt());
        assert!(at(100_000) < at(10_000) && at(10_000) < at(1_000));
    }
}
