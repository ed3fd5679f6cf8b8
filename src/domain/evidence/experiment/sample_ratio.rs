//! Sample ratio mismatch: whether the arms have the sizes that their shares say. Assignment is by a
//! hash, so a mismatch means that rows are lost in one arm and not in the other.

use statrs::{
    distribution::{ChiSquared, ContinuousCDF},
    function::gamma::ln_gamma,
};

/// Level of the tests: Fabijan et al. (2019).
pub const LEVEL: f64 = 0.001;
/// Concentration of the prior of the test at every look (Lindon & Malek 2020).
const CONCENTRATION: f64 = 10_000.0;

/// Returns chi-square of counts against shares, which sum to 1: the sum of (observed - expected)^2 /
/// expected. Zero without observations.
pub fn statistic(observed: &[u64], shares: &[f64]) -> f64 {
    let total = observed.iter().sum::<u64>() as f64;
    if total == 0.0 {
        return 0.0;
    }
    let terms = observed.iter().zip(shares).map(|(count, share)| {
        let expected = total * share;
        (*count as f64 - expected).powi(2) / expected
    });
    terms.sum()
}

/// Returns the probability of a chi-square of at least this size by chance.
pub fn p_value(statistic: f64, degrees_of_freedom: usize) -> f64 {
    match ChiSquared::new(degrees_of_freedom.max(1) as f64) {
        Ok(distribution) => distribution.sf(statistic),
        Err(_) => 1.0,
    }
}

/// Returns the Bayes factor of "other shares" against "these shares" for cumulative counts: Dirichlet
/// multinomial over multinomial. `1 / factor` is a p value that is valid at every look; the p value
/// of a look is the least one of it and of all looks before.
pub fn bayes_factor(observed: &[u64], shares: &[f64]) -> f64 {
    let total = observed.iter().sum::<u64>() as f64;
    let arms = observed.iter().zip(shares).map(|(count, share)| {
        let (count, prior) = (*count as f64, CONCENTRATION * share);
        ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln()
    });
    (ln_gamma(CONCENTRATION) - ln_gamma(CONCENTRATION + total) + arms.sum::<f64>()).exp()
}

/// The two tests of one kind of count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Chi-square's p, valid for a single look.
    pub p: f64,
    /// The p that is valid at every look.
    pub sequential_p: f64,
}

impl SampleRatio {
    /// Tests counts. `before`: the sequential p of the look before.
    pub fn test(observed: &[u64], shares: &[f64], before: Option<f64>) -> Self {
        let dof = observed.len().saturating_sub(1);
        let factor = bayes_factor(observed, shares);
        let now = if factor > 1.0 { factor.recip() } else { 1.0 };
        Self {
            p: p_value(statistic(observed, shares), dof),
            sequential_p: now.min(before.unwrap_or(1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn chi_square_is_that_of_gbstats_and_scipy() {
        let half = [0.5, 0.5];
        let third = [1.0 / 3.0; 3];
        let tenth = [0.9, 0.1];
        let cases: [(&[u64], &[f64], f64, f64); 5] = [
            (&[5_000, 5_200], &half, 3.921_568_627, 0.047_670_380_66),
            (&[821_588, 815_482], &half, 22.774_368_84, 1.821_792_873e-6),
            (&[500, 510, 490], &third, 0.4, 0.818_730_753_1),
            (&[9_000, 1_100], &tenth, 8.910_891_089, 0.002_834_749_08),
            (&[9_000, 1_200], &tenth, 35.294_117_65, 2.834_869_93e-9),
        ];
        for (observed, shares, chi2, p) in cases {
            let statistic = statistic(observed, shares);
            close(statistic, chi2);
            close(p_value(statistic, observed.len() - 1), p);
        }
        assert_eq!(SampleRatio::test(&[0, 0], &half, None).p, 1.0);
    }

    #[test]
    fn the_sequential_test_is_that_of_ssrm() {
        let batches = [[520, 480], [530, 470], [540, 460], [525, 475]];
        let factors = [1.025_393_747, 1.384_779_983, 3.049_878_146, 5.591_582_946];
        let ps = [
            0.975_235_125_8,
            0.722_136_377_3,
            0.327_881_952,
            0.178_840_233_6,
        ];
        let (mut counts, mut before) = ([0, 0], None);
        for ((batch, factor), p) in batches.iter().zip(factors).zip(ps) {
            counts[0] += batch[0];
            counts[1] += batch[1];
            close(bayes_factor(&counts, &[0.5, 0.5]), factor);
            let test = SampleRatio::test(&counts, &[0.5, 0.5], before);
            close(test.sequential_p, p);
            before = Some(test.sequential_p);
        }
        // A later look never takes a finding back.
        let later = SampleRatio::test(&[2_115, 2_115], &[0.5, 0.5], before);
        close(later.sequential_p, ps[3]);
    }
}
