//! Decisions of a classifier at a threshold.

use serde::{Deserialize, Serialize};

use super::{Merge, measure::Absent, ranking::Ranking};

/// Counts of decisions by truth (confusion matrix).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    pub true_positive: u64,
    pub false_positive: u64,
    pub false_negative: u64,
    pub true_negative: u64,
}

impl Confusion {
    pub fn add(&mut self, positive: bool, decided: bool, rows: u64) {
        *match (positive, decided) {
            (true, true) => &mut self.true_positive,
            (false, true) => &mut self.false_positive,
            (true, false) => &mut self.false_negative,
            (false, false) => &mut self.true_negative,
        } += rows;
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// Returns (TP + TN) / all.
    pub fn accuracy(&self) -> Result<f64, Absent> {
        ratio(self.true_positive + self.true_negative, self.rows()).ok_or(Absent::NoRows)
    }

    /// Returns TP / (TP + FP).
    pub fn precision(&self) -> Result<f64, Absent> {
        self.share(self.true_positive + self.false_positive)
    }

    /// Returns TP / (TP + FN).
    pub fn recall(&self) -> Result<f64, Absent> {
        self.share(self.true_positive + self.false_negative)
    }

    /// Returns 2 TP / (2 TP + FP + FN).
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

/// Returns the threshold with the best F1 on the even groups, and its decisions on the odd ones,
/// which were not used to choose it. Of equally good thresholds it is the lowest; a bin is not
/// divided.
pub fn best(ranking: &Ranking) -> Option<(f64, Confusion)> {
    let mut halves = [Confusion::default(); 2];
    let totals = ranking.totals();
    for (group, rows) in totals.groups.iter().enumerate() {
        halves[group % 2].add(true, false, rows.positive);
        halves[group % 2].add(false, false, rows.negative);
    }
    let mut best: Option<(f64, f64, Confusion)> = None;
    ranking.blocks(|block| {
        for (group, rows) in block.groups {
            let half = &mut halves[usize::from(group % 2)];
            half.true_positive += rows.positive;
            half.false_negative -= rows.positive;
            half.false_positive += rows.negative;
            half.true_negative -= rows.negative;
        }
        if let Ok(f1) = halves[0].f1()
            && best.is_none_or(|(most, ..)| f1 >= most)
        {
            best = Some((f1, block.score, halves[1]));
        }
    });
    best.map(|(_, threshold, confusion)| (threshold, confusion))
}
