//! Quantiles of an error, with a relative error of at most 1 %.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};
use statrs::distribution::{ContinuousCDF, Normal};

use super::Merge;

/// Relative error of the sketch.
const ACCURACY: f64 = 0.01;
/// Number of steps of the distribution from which the histogram is made.
const STEPS: u32 = 400;
/// Number of bars of the histogram.
const BARS: usize = 40;

/// Errors in a sketch (Masson, Rim, Lee 2019).
#[derive(Clone, Serialize, Deserialize)]
pub struct ErrorQuantiles {
    sketch: DDSketch,
}

/// A quantile and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Default for ErrorQuantiles {
    fn default() -> Self {
        Self {
            sketch: DDSketch::new(Config::defaults()),
        }
    }
}

impl ErrorQuantiles {
    /// Adds an error; it must be finite.
    pub fn add(&mut self, error: f64) {
        self.sketch.add(error);
    }

    /// Returns the quantile at `q`. Its interval is from order statistics (Woodruff 1952): the
    /// quantiles at q -+ z sqrt(q (1 - q) / n), for independent rows, plus the sketch's error. A
    /// jackknife is not valid here.
    pub fn at(&self, q: f64, confidence: f64) -> Option<Quantile> {
        let n = self.sketch.count() as f64;
        let z = Normal::new(0.0, 1.0)
            .ok()?
            .inverse_cdf(0.5 + confidence / 2.0);
        let reach = z * (q * (1.0 - q) / n).sqrt();
        let at = |q: f64| self.sketch.quantile(q.clamp(0.0, 1.0)).ok().flatten();
        Some(Quantile {
            value: at(q)?,
            low: at(q - reach).map(|low| low - ACCURACY * low.abs())?,
            high: at(q + reach).map(|high| high + ACCURACY * high.abs())?,
        })
    }
}

impl ErrorQuantiles {
    /// Returns (share, error) at `steps` + 1 shares from 0 to 1: the inverse of the distribution.
    pub fn curve(&self, steps: u32) -> Vec<(f64, f64)> {
        let at = |step| {
            let share = f64::from(step) / f64::from(steps.max(1));
            Some((share, self.sketch.quantile(share).ok().flatten()?))
        };
        (0..=steps).filter_map(at).collect()
    }

    /// Returns (from, to, share of rows) of bars of equal width over all but the outer 1 %. Each
    /// share is exact to 0.5 % of the rows.
    pub fn histogram(&self) -> Vec<(f64, f64, f64)> {
        let curve = self.curve(STEPS);
        let inner = &curve[curve.len().min(2)..curve.len().saturating_sub(2)];
        let (Some(first), Some(last)) = (inner.first(), inner.last()) else {
            return Vec::new();
        };
        // Errors that are all equal also need a bar with a width.
        let least = 1e-9 * (1.0 + first.1.abs());
        let width = ((last.1 - first.1) / BARS as f64).max(least);
        let mut bars = vec![0_u32; BARS];
        for (_, error) in inner {
            let bar = ((error - first.1) / width) as usize;
            bars[bar.min(BARS - 1)] += 1;
        }
        let from = |bar: usize| first.1 + width * bar as f64;
        let bars = bars.into_iter().enumerate();
        bars.map(|(bar, steps)| {
            let share = f64::from(steps) / curve.len() as f64;
            (from(bar), from(bar + 1), share)
        })
        .collect()
    }
}

impl Merge for ErrorQuantiles {
    fn merge(&mut self, other: &Self) {
        // Merging fails only if the configurations differ, and all sketches have the same one.
        let _ = self.sketch.merge(&other.sketch);
    }
}

impl PartialEq for ErrorQuantiles {
    fn eq(&self, other: &Self) -> bool {
        let at = |sketch: &DDSketch, q| sketch.quantile(q).ok().flatten();
        self.sketch.count() == other.sketch.count()
            && [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
                .iter()
                .all(|q| at(&self.sketch, *q) == at(&other.sketch, *q))
    }
}

impl std::fmt::Debug for ErrorQuantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ErrorQuantiles({})", self.sketch.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_the_shares_of_the_errors() {
        let mut errors = ErrorQuantiles::default();
        let all: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i * 7919 % 10_007) / 500.0 - 4.0)
            .collect();
        all.iter().for_each(|error| errors.add(*error));
        let bars = errors.histogram();
        assert_eq!(bars.len(), 40);
        for (from, to, share) in &bars {
            let within = all
                .iter()
                .filter(|error| (from..to).contains(error))
                .count();
            let exact = within as f64 / all.len() as f64;
            // 0.5 % by steps; edges are off by up to 1 % of the error, here at most 1 % of the rows.
            assert!(
                (share - exact).abs() < 0.015,
                "{from} to {to}: {share} {exact}"
            );
        }
        let sum: f64 = bars.iter().map(|bar| bar.2).sum();
        assert!((0.98..=1.0).contains(&sum), "{sum}");
        assert!(ErrorQuantiles::default().histogram().is_empty());
    }
}
