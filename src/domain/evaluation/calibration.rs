//! Whether 70 % means 70 %: predicted probability against the share that came true.

use serde::{Deserialize, Serialize};

use super::Merge;

/// Bins of equal width that are counted.
const BINS: u16 = 256;
/// Bins that are reported.
pub const REPORTED: u16 = 16;

/// Probabilities by bin; sparse.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: std::collections::BTreeMap<u16, Tally>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    rows: u64,
    positive: u64,
    sum: f64,
}

impl Merge for Tally {
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
    /// Rows.
    pub rows: u64,
}

impl Calibration {
    /// Adds a row. An edge belongs to the bin below it.
    pub fn add(&mut self, positive: bool, probability: f64) {
        let place = (probability * f64::from(BINS)).ceil() - 1.0;
        let bin = place.clamp(0.0, f64::from(BINS - 1)) as u16;
        let tally = self.bins.entry(bin).or_default();
        tally.rows += 1;
        tally.positive += u64::from(positive);
        tally.sum += probability;
    }

    /// [`REPORTED`] bins of equal width, those without rows left out.
    pub fn reliability(&self) -> Vec<Reliability> {
        let per = BINS / REPORTED;
        (0..REPORTED)
            .filter_map(|at| {
                let mut tally = Tally::default();
                let bins = self.bins.range(at * per..(at + 1) * per);
                bins.for_each(|(_, bin)| tally.merge(bin));
                (tally.rows > 0).then(|| Reliability {
                    predicted: tally.sum / tally.rows as f64,
                    observed: tally.positive as f64 / tally.rows as f64,
                    rows: tally.rows,
                })
            })
            .collect()
    }

    /// Expected calibration error: |predicted - observed| of each reported bin, weighted by rows
    /// (Naeini, Cooper, Hauskrecht 2015). Depends on the bins, so it has no interval.
    pub fn expected_error(&self) -> Option<f64> {
        let bins = self.reliability();
        let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
        let off = |bin: &Reliability| (bin.predicted - bin.observed).abs() * bin.rows as f64;
        (rows > 0).then(|| bins.iter().map(off).sum::<f64>() / rows as f64)
    }
}

impl Merge for Calibration {
    fn merge(&mut self, other: &Self) {
        for (at, theirs) in &other.bins {
            self.bins.entry(*at).or_default().merge(theirs);
        }
    }
}
