//! What is known of one version held against the baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    difference::{Differences, Limits},
    joint::{Edges, Joint},
};

/// Pairs of labels kept by name; the rest are counted together.
const CHANGES: usize = 1_024;

/// Where source rows stand for two versions; each row counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Both have a prediction of the row as it is now.
    pub compared: u64,
    /// One has none.
    pub missing: u64,
    /// One is of other values than the row's now, or by another model.
    pub stale: u64,
    /// One could not score it.
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

/// Of some entities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    /// All of them.
    pub rows: Rows,
    /// Rows where both have a label.
    pub labelled: u64,
    /// And it is the same.
    pub agreeing: u64,
    /// (label of the baseline, of the version) -> rows, where they are not.
    pub changes: BTreeMap<(String, String), u64>,
    /// Rows whose change is none of these, because there are too many.
    pub other_changes: u64,
    /// Score of the version less that of the baseline.
    pub differences: Differences,
    /// Rows that lack a finite score.
    pub unscored: u64,
    /// Of both scores.
    pub joint: Joint,
}

/// A compared row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Of the baseline and of the version.
    pub labels: [Option<String>; 2],
    /// Of the baseline and of the version, where the score is one number.
    pub scores: Option<[f64; 2]>,
    /// With a sign where the score is one number.
    pub difference: Option<f64>,
}

impl Row {
    /// Whether both are labelled, differently.
    pub fn is_relabelled(&self) -> bool {
        matches!(&self.labels, [Some(a), Some(b)] if a != b)
    }
}

/// What was fixed before the first row.
#[derive(Debug, Clone, Copy)]
pub struct Scales<'a> {
    /// Of the histogram; `None`: none is made.
    pub limits: Option<Limits>,
    /// Of both scores; `None`: no ranks.
    pub edges: Option<(&'a Edges, &'a Edges)>,
}

impl Pair {
    /// Of nothing.
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

    /// Takes a row in that both have scored as it is now. `scored`: there is a score to compare.
    pub fn add(&mut self, row: &Row, scored: bool, scales: Scales<'_>) {
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

    /// Adds others.
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

    /// Share of the labelled rows with the same label; `None` where there are none.
    pub fn agreement(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.agreeing as f64 / self.labelled as f64)
    }
}
