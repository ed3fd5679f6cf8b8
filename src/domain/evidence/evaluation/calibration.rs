//! Calibration: predicted probability against the observed share of positives.

use serde::{Deserialize, Serialize};

use statrs::distribution::{ContinuousCDF, Normal};

use super::{
    Merge,
    score_bins::{Bar, ByClass},
};

/// Number of bins of equal width that are counted.
const BINS: u16 = 256;
/// Number of bins that are reported.
pub const REPORTED: u16 = 16;
/// Number of bars of the histogram.
const BARS: u16 = 32;

/// Counts of probabilities by bin; sparse.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: std::collections::BTreeMap<u16, BinTally>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct BinTally {
    rows: u64,
    positive: u64,
    sum: f64,
}

impl Merge for BinTally {
    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.positive += other.positive;
        self.sum += other.sum;
    }
}

/// A point of the reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reliability {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of positives.
    pub observed: f64,
    /// Lower end of its 95 % interval, for independent rows (Wilson 1927).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    pub rows: u64,
}

impl Calibration {
    /// Adds a row. A value on a bin's edge belongs to the bin below it.
    pub fn add(&mut self, positive: bool, probability: f64) {
        let place = (probability * f64::from(BINS)).ceil() - 1.0;
        let bin = place.clamp(0.0, f64::from(BINS - 1)) as u16;
        let tally = self.bins.entry(bin).or_default();
        tally.rows += 1;
        tally.positive += u64::from(positive);
        tally.sum += probability;
    }

    /// Returns [`REPORTED`] bins of equal width, without empty ones.
    pub fn reliability(&self) -> Vec<Reliability> {
        let per = BINS / REPORTED;
        (0..REPORTED)
            .filter_map(|at| {
                let mut tally = BinTally::default();
                let bins = self.bins.range(at * per..(at + 1) * per);
                bins.for_each(|(_, bin)| tally.merge(bin));
                let (low, high) = wilson(tally.positive, tally.rows)?;
                Some(Reliability {
                    predicted: tally.sum / tally.rows as f64,
                    observed: tally.positive as f64 / tally.rows as f64,
                    low,
                    high,
                    rows: tally.rows,
                })
            })
            .collect()
    }

    /// Returns 32 bars of equal width, including empty ones.
    pub fn histogram(&self) -> Vec<Bar> {
        let per = BINS / BARS;
        let bar = |at: u16| {
            let mut rows = ByClass::default();
            for bin in self
                .bins
                .range(at * per..(at + 1) * per)
                .map(|(_, bin)| bin)
            {
                rows.positive += bin.positive;
                rows.negative += bin.rows - bin.positive;
            }
            Bar {
                from: f64::from(at) / f64::from(BARS),
                to: f64::from(at + 1) / f64::from(BARS),
                rows,
            }
        };
        (0..BARS).map(bar).collect()
    }

    /// Returns the expected calibration error: |predicted - observed| of each reported bin,
    /// weighted by rows (Naeini, Cooper, Hauskrecht 2015). It depends on the bins, so it has no
    /// interval.
    pub fn expected_error(&self) -> Option<f64> {
        let bins = self.reliability();
        let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
        let off = |bin: &Reliability| (bin.predicted - bin.observed).abs() * bin.rows as f64;
        (rows > 0).then(|| bins.iter().map(off).sum::<f64>() / rows as f64)
    }
}

/// Returns the interval of a share at the report's confidence; `None` without rows.
fn wilson(hits: u64, rows: u64) -> Option<(f64, f64)> {
    if rows == 0 {
        return None;
    }
    let normal = Normal::new(0.0, 1.0).ok()?;
    let z = normal.inverse_cdf(0.5 + super::report::CONFIDENCE / 2.0);
    let (n, share) = (rows as f64, hits as f64 / rows as f64);
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // Rounding must not move the share itself out of its interval.
    Some((
        (middle - reach).clamp(0.0, share),
        (middle + reach).clamp(share, 1.0),
    ))
}

impl Merge for Calibration {
    fn merge(&mut self, other: &Self) {
        for (at, theirs) in &other.bins {
            self.bins.entry(*at).or_default().merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_every_row_once_by_class() {
        let mut calibration = Calibration::default();
        for row in 0..=1_000_u32 {
            calibration.add(row % 3 == 0, f64::from(row) / 1_000.0);
        }
        let bars = calibration.histogram();
        assert_eq!(bars.len(), 32);
        let sum = |of: fn(&ByClass) -> u64| bars.iter().map(|bar| of(&bar.rows)).sum::<u64>();
        assert_eq!((sum(|r| r.positive), sum(|r| r.negative)), (334, 667));
        // 0 to 0.03125: rows 0 to 31.
        assert_eq!((bars[0].rows.positive, bars[0].rows.negative), (11, 21));
    }

    #[test]
    fn intervals_are_wilsons() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let (low, high) = wilson(81, 263).unwrap();
        assert!(
            (low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5,
            "{low} {high}"
        );
        let (low, high) = wilson(0, 20).unwrap();
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), None);
    }
}
