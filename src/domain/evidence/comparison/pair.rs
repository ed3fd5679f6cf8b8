//! Comparison of one version with the baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    difference::{Differences, Limits},
    joint::{Edges, Joint},
};

/// Pairs of labels counted by name; other pairs are counted together.
const CHANGES: usize = 1_024;

/// Source rows by the state of two versions' predictions; each row counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Both versions have a prediction of the current row.
    pub compared: u64,
    /// At least one prediction is missing.
    pub missing: u64,
    /// At least one prediction is of other values than the row's, or by another model.
    pub stale: u64,
    /// At least one version rejected the row.
    pub rejected: u64,
}

impl Rows {
    fn add(&mut self, other: &Self) {
        self.compared += other.compared;
        self.missing += other.missing;
        self.stale += other.stale;
        self.rejected += other.rejected;
    }
}

/// The comparison's result, for all rows or for a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    pub rows: Rows,
    /// Rows where both have a label.
    pub labelled: u64,
    /// Labelled rows with equal labels.
    pub agreeing: u64,
    /// (label of the baseline, label of the version) -> rows with different labels.
    pub changes: BTreeMap<(String, String), u64>,
    /// Label changes beyond the limit on pairs.
    pub other_changes: u64,
    /// Score of the version minus that of the baseline.
    pub differences: Differences,
    /// Rows without a finite score.
    pub unscored: u64,
    /// Joint distribution of both scores.
    pub joint: Joint,
}

/// A compared row.
#[derive(Debug, Clone, Default)]
pub struct PairedRow {
    /// Of the baseline and of the version.
    pub labels: [Option<String>; 2],
    /// Of the baseline and of the version, if the score is one number.
    pub scores: Option<[f64; 2]>,
    /// Has a sign if the score is one number.
    pub difference: Option<f64>,
}

impl PairedRow {
    /// Returns whether both are labelled, with different labels.
    pub fn is_relabelled(&self) -> bool {
        matches!(&self.labels, [Some(a), Some(b)] if a != b)
    }
}

/// Scales fixed before the first row.
#[derive(Debug, Clone, Copy)]
pub struct Scales<'a> {
    /// Of the histogram; `None`: no histogram.
    pub limits: Option<Limits>,
    /// Of both scores; `None`: no rank correlation.
    pub edges: Option<(&'a Edges, &'a Edges)>,
}

impl Pair {
    pub fn new(bins: usize) -> Self {
        Self {
            rows: Rows::default(),
            labelled: 0,
            agreeing: 0,
            changes: BTreeMap::new(),
            other_changes: 0,
            differences: Differences::default(),
            unscored: 0,
            joint: Joint::new(bins),
        }
    }

    /// Adds a row whose current values both versions scored. `scored`: there is a score to compare.
    pub fn add(&mut self, row: &PairedRow, scored: bool, scales: Scales<'_>) {
        self.rows.compared += 1;
        if let [Some(a), Some(b)] = &row.labels {
            self.labelled += 1;
            match a == b {
                true => self.agreeing += 1,
                false => self.change((a.clone(), b.clone()), 1),
            }
        }
        match row.difference {
            Some(difference) => self.differences.add(difference, scales.limits),
            None if scored => self.unscored += 1,
            None => {}
        }
        if let (Some([a, b]), Some(edges), Some(_)) = (row.scores, scales.edges, row.difference) {
            self.joint.add(edges, a, b);
        }
    }

    fn change(&mut self, labels: (String, String), rows: u64) {
        let known = self.changes.len();
        match self.changes.get_mut(&labels) {
            Some(count) => *count += rows,
            None if known < CHANGES => {
                self.changes.insert(labels, rows);
            }
            None => self.other_changes += rows,
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.rows.add(&other.rows);
        self.labelled += other.labelled;
        self.agreeing += other.agreeing;
        for (labels, rows) in other.changes {
            self.change(labels, rows);
        }
        self.other_changes += other.other_changes;
        self.differences.merge(&other.differences);
        self.unscored += other.unscored;
        self.joint.merge(&other.joint);
    }

    /// Returns the share of the labelled rows with equal labels; `None` if there are none.
    pub fn agreement(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.agreeing as f64 / self.labelled as f64)
    }
}
