//! What chance alone explains at given numbers of rows.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The chi-square test of homogeneity of two rows of counts, without Yates's correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChiSquare {
    pub statistic: f64,
    /// Cells with any row, minus one; 0 if there is nothing to test.
    pub degrees: u64,
}

impl ChiSquare {
    /// Tests whether two rows of counts have the same shares.
    pub fn test(a: &[u64], b: &[u64]) -> Self {
        let (n, m) = (total(a), total(b));
        let nothing = Self {
            statistic: 0.0,
            degrees: 0,
        };
        if n == 0.0 || m == 0.0 {
            return nothing;
        }
        let (left, right) = ((m / n).sqrt(), (n / m).sqrt());
        let mut test = nothing;
        let mut cells = 0;
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (*a as f64, *b as f64);
            if a + b > 0.0 {
                cells += 1;
                test.statistic += (a * left - b * right).powi(2) / (a + b);
            }
        }
        test.degrees = u64::saturating_sub(cells, 1);
        test
    }

    /// Returns the probability of such a statistic, or a larger one, by chance.
    pub fn p(self) -> f64 {
        upper_tail(self.statistic, self.degrees)
    }
}

/// Returns the probability of a population stability index of this size or more by chance: it is
/// distributed as (1/n + 1/m) chi-square with B - 1 degrees of freedom, over B cells (Yurdakul
/// 2018).
pub(super) fn psi_p(psi: f64, degrees: u64, n: u64, m: u64) -> f64 {
    upper_tail(psi / (1.0 / n as f64 + 1.0 / m as f64), degrees)
}

/// Returns the population stability index that chance exceeds with probability `alpha`.
pub(super) fn psi_critical(alpha: f64, degrees: u64, n: u64, m: u64) -> f64 {
    let scale = 1.0 / n as f64 + 1.0 / m as f64;
    ChiSquared::new(degrees as f64).map_or(0.0, |chi| quantile(&chi, alpha)) * scale
}

/// Returns the value that the distribution exceeds with probability `alpha`, by bisection: `1 -
/// alpha` has too few digits for the distribution's own inverse when alpha is small.
fn quantile(chi: &ChiSquared, alpha: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while chi.sf(high) > alpha && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        match chi.sf(middle) > alpha {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

fn upper_tail(statistic: f64, degrees: u64) -> f64 {
    match ChiSquared::new(degrees as f64) {
        Ok(chi) if statistic > 0.0 => chi.sf(statistic),
        _ => 1.0,
    }
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

/// A test's place among all tests of its family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adjusted {
    /// The smallest level at which the family rejects this test.
    pub p: f64,
    /// What the test's own p is compared with.
    pub level: f64,
}

/// Adjusts p-values so that the probability of any false rejection is at most `alpha` (Holm 1979).
pub(super) fn holm(p: &[f64], alpha: f64) -> Vec<Adjusted> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![
        Adjusted {
            p: 1.0,
            level: alpha
        };
        p.len()
    ];
    let mut largest: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        let left = (p.len() - rank) as f64;
        largest = largest.max((p[at] * left).min(1.0));
        adjusted[at] = Adjusted {
            p: largest,
            level: alpha / left,
        };
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_are_quantiles_of_chi_square() {
        // scipy.stats.chi2.isf(0.01, 9) = 21.665994333461924
        let critical = psi_critical(0.01, 9, 1_000, 1_000);
        assert!(
            (critical - 21.665_994_333_461_924 * 0.002).abs() < 1e-12,
            "{critical}"
        );
        let far = psi_critical(1e-12, 19, 2, 2);
        assert!((psi_p(far, 19, 2, 2) / 1e-12 - 1.0).abs() < 1e-6, "{far}");
        let p = psi_p(critical, 9, 1_000, 1_000);
        assert!((p - 0.01).abs() < 1e-9, "{p}");
    }

    #[test]
    fn holm_is_step_down() {
        // statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method="holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005], 0.05);
        let p: Vec<f64> = adjusted.iter().map(|one| one.p).collect();
        for (p, wanted) in p.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((p - wanted).abs() < 1e-12, "{p}");
        }
        assert!((adjusted[3].level - 0.0125).abs() < 1e-15);
        assert_eq!(holm(&[], 0.05), []);
    }
}
