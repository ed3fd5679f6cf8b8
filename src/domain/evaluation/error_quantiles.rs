//! Quantiles of an error, within 1 % of their value.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};
use statrs::distribution::{ContinuousCDF, Normal};

use super::Merge;

/// Errors in a sketch (Masson, Rim, Lee 2019).
#[derive(Clone, Serialize, Deserialize)]
pub struct ErrorQuantiles {
    sketch: DDSketch,
}

/// A quantile and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
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

    /// The quantile at `q`. Its interval comes from order statistics (Woodruff 1952): the quantiles
    /// at q -+ z sqrt(q (1 - q) / n), for independent rows. A jackknife is not valid here.
    pub fn at(&self, q: f64, confidence: f64) -> Option<Quantile> {
        let n = self.sketch.count() as f64;
        let z = Normal::new(0.0, 1.0)
            .ok()?
            .inverse_cdf(0.5 + confidence / 2.0);
        let reach = z * (q * (1.0 - q) / n).sqrt();
        let at = |q: f64| self.sketch.quantile(q.clamp(0.0, 1.0)).ok().flatten();
        Some(Quantile {
            value: at(q)?,
            low: at(q - reach)?,
            high: at(q + reach)?,
        })
    }
}

impl Merge for ErrorQuantiles {
    fn merge(&mut self, other: &Self) {
        // Both have the same configuration, which is all that merging can fail on.
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
