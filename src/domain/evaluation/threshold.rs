//! What a classifier decides at a threshold.

use serde::{Deserialize, Serialize};

use super::{
    Merge,
    measure::Absent,
    score_bins::{Bin, ScoreBins},
};

/// Decisions by truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Confusion {
    pub true_positive: u64,
    pub false_positive: u64,
    pub false_negative: u64,
    pub true_negative: u64,
}

impl Confusion {
    /// Adds rows.
    pub fn add(&mut self, positive: bool, decided: bool, rows: u64) {
        *match (positive, decided) {
            (true, true) => &mut self.true_positive,
            (false, true) => &mut self.false_positive,
            (true, false) => &mut self.false_negative,
            (false, false) => &mut self.true_negative,
        } += rows;
    }

    /// Rows decided.
    pub fn rows(&self) -> u64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// (TP + TN) / all.
    pub fn accuracy(&self) -> Result<f64, Absent> {
        ratio(self.true_positive + self.true_negative, self.rows()).ok_or(Absent::NoRows)
    }

    /// TP / (TP + FP).
    pub fn precision(&self) -> Result<f64, Absent> {
        self.share(self.true_positive + self.false_positive)
    }

    /// TP / (TP + FN).
    pub fn recall(&self) -> Result<f64, Absent> {
        self.share(self.true_positive + self.false_negative)
    }

    /// 2 TP / (2 TP + FP + FN).
    pub fn f1(&self) -> Result<f64, Absent> {
        let all = 2 * self.true_positive + self.false_positive + self.false_negative;
        ratio(2 * self.true_positive, all).ok_or(Absent::Undefined)
    }

    fn share(&self, of: u64) -> Result<f64, Absent> {
        ratio(self.true_positive, of).ok_or(match self.rows() {
            0 => Absent::NoRows,
            _ => Absent::Undefined,
        })
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Merge for Confusion {
    fn merge(&mut self, other: &Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.true_negative += other.true_negative;
    }
}

/// The threshold with the best F1 on the even groups, and what it does on the odd ones, which had
/// no say in choosing it. A bin is decided as one.
pub fn best(bins: &ScoreBins) -> Option<(f64, Confusion)> {
    let bins: Vec<(f64, &Bin)> = bins.bins().collect();
    let at = |half: usize, from: usize| {
        let mut confusion = Confusion::default();
        for (at, (_, bin)) in bins.iter().enumerate() {
            let rows = bin.halves[half];
            confusion.add(true, at >= from, rows.positive);
            confusion.add(false, at >= from, rows.negative);
        }
        confusion
    };
    let mut confusion = at(0, 0);
    let (mut chosen, mut best) = (0, confusion.f1().ok()?);
    for (from, (_, bin)) in bins.iter().enumerate() {
        // The bin moves from decided positive to decided negative.
        if confusion.f1().is_ok_and(|f1| f1 > best) {
            (chosen, best) = (from, confusion.f1().ok()?);
        }
        let rows = bin.halves[0];
        confusion.true_positive -= rows.positive;
        confusion.false_negative += rows.positive;
        confusion.false_positive -= rows.negative;
        confusion.true_negative += rows.negative;
    }
    Some((bins.get(chosen)?.0, at(1, chosen)))
}
