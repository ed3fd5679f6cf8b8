//! Score differences: moments, quantiles, a histogram.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

/// Bars of the histogram between its limits.
pub const BARS: usize = 40;

#[derive(Clone, Serialize, Deserialize)]
pub struct Differences {
    pub count: u64,
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    m2: f64,
    sum_of_absolutes: f64,
    /// The smallest; infinite if there are none.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// Quantiles with a relative error of at most 1 % (Masson, Rim, Lee 2019).
    sketch: DDSketch,
    /// Counts below the limits, of [`BARS`] equal bars, and above them; empty if no histogram is
    /// made.
    pub bars: Vec<u64>,
}

/// Limits of the histogram, fixed before the first row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Lower end of the first bar.
    pub from: f64,
    /// Upper end of the last bar.
    pub to: f64,
}

impl Limits {
    /// Returns limits that contain a sample's differences: round numbers on either side of zero, or
    /// only above it if they have no sign.
    pub fn around(sample: &[f64], signed: bool) -> Self {
        let largest = sample.iter().fold(0_f64, |largest, d| largest.max(d.abs()));
        let to = match largest > 0.0 {
            true => round_up(largest),
            false => 1.0,
        };
        Self {
            from: if signed { -to } else { 0.0 },
            to,
        }
    }

    /// Returns the lower ends of the intervals that [`Differences::bars`] counts, the first
    /// -infinity.
    pub fn lower_ends(self) -> impl Iterator<Item = f64> {
        let width = (self.to - self.from) / BARS as f64;
        let ends = (0..=BARS).map(move |bar| self.from + width * bar as f64);
        std::iter::once(f64::NEG_INFINITY).chain(ends)
    }

    fn bar(self, value: f64) -> usize {
        if value < self.from {
            return 0;
        }
        let share = (value - self.from) / (self.to - self.from);
        // The upper limit itself belongs to the last bar.
        match value > self.to {
            true => BARS + 1,
            false => ((share * BARS as f64) as usize).min(BARS - 1) + 1,
        }
    }
}

/// Returns the smallest 1, 2 or 5 times a power of ten that is at least `value`.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

impl Default for Differences {
    fn default() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            m2: 0.0,
            sum_of_absolutes: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            sketch: DDSketch::new(Config::defaults()),
            bars: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} around {}", self.count, self.mean)
    }
}

impl Differences {
    /// Adds a finite difference; without limits no histogram is made.
    pub fn add(&mut self, value: f64, limits: Option<Limits>) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (value - self.mean);
        self.sum_of_absolutes += value.abs();
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        self.sketch.add(value);
        if let Some(limits) = limits {
            self.bars.resize(BARS + 2, 0);
            self.bars[limits.bar(value)] += 1;
        }
    }

    /// Adds other differences (Chan, Golub, LeVeque 1983).
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (own, others) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * others / (own + others);
        self.m2 += other.m2 + delta * delta * own * others / (own + others);
        self.sum_of_absolutes += other.sum_of_absolutes;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        // Merging fails only if the configurations differ, and all sketches have the same one.
        let _ = self.sketch.merge(&other.sketch);
        let bars = self.bars.len().max(other.bars.len());
        self.bars.resize(bars, 0);
        for (own, others) in self.bars.iter_mut().zip(&other.bars) {
            *own += others;
        }
    }

    /// Returns the standard deviation (n - 1); `None` for fewer than two values.
    pub fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.m2 / (self.count - 1) as f64).sqrt())
    }

    /// Returns the mean of the absolute differences; `None` if there are none.
    pub fn mean_absolute(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_of_absolutes / self.count as f64)
    }

    /// Returns the largest absolute difference; `None` if there are none.
    pub fn largest(&self) -> Option<f64> {
        (self.count > 0).then(|| self.least.abs().max(self.most.abs()))
    }

    /// Returns the quantile `q`, with a relative error of at most 1 %.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let value = self.sketch.quantile(q).ok().flatten()?;
        Some(value.max(self.least).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_parts_are_one_pass() {
        let values: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i * 7919 % 10_007) / 5_000.0 - 1.0)
            .collect();
        let limits = Limits::around(&values, true);
        let of = |values: &[f64]| {
            let mut differences = Differences::default();
            values
                .iter()
                .for_each(|value| differences.add(*value, Some(limits)));
            differences
        };
        let whole = of(&values);
        let mut merged = Differences::default();
        values.chunks(37).for_each(|part| merged.merge(&of(part)));
        assert_eq!((merged.count, &merged.bars), (whole.count, &whole.bars));
        assert!((merged.mean - whole.mean).abs() < 1e-12);
        assert!((merged.deviation().unwrap() - whole.deviation().unwrap()).abs() < 1e-12);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        for q in [0.01, 0.25, 0.5, 0.75, 0.99] {
            let exact = sorted[(q * 9_999.0) as usize];
            let told = merged.quantile(q).unwrap();
            assert!(
                (told - exact).abs() <= 0.0101 * exact.abs() + 1e-3,
                "{q}: {told} {exact}"
            );
        }
        assert_eq!(merged.bars.iter().sum::<u64>(), 10_000);
        assert_eq!(limits.lower_ends().count(), BARS + 2);
    }

    #[test]
    fn limits_are_round_and_hold_their_ends() {
        let limits = Limits::around(&[0.3, -0.43], true);
        assert_eq!((limits.from, limits.to), (-0.5, 0.5));
        assert_eq!(limits.bar(-0.5), 1);
        assert_eq!(limits.bar(0.5), BARS);
        assert_eq!((limits.bar(-0.6), limits.bar(0.6)), (0, BARS + 1));
        assert_eq!(Limits::around(&[], false), Limits { from: 0.0, to: 1.0 });
    }
}
