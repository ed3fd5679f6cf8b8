//! Evaluation of multiclass classification.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, Merge, Precision,
    groups::Groups,
    losses,
    measure::{Absent, Measure},
    moments::Moments,
    paired::Judged,
};

/// Names of [`Judged::losses`]; the second is unused.
pub const LOSSES: [&str; 2] = ["log_loss", ""];
/// Maximum number of rows of a confusion matrix.
pub const MOST_CLASSES: usize = 256;
/// Top-k accuracy is reported for k = 2 to this.
const TOP: usize = 5;

/// One version's partial result. Classes are numbers in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    classes: u16,
    /// Type of the probabilities; `None`: there are only labels.
    probabilities: Option<Precision>,
    detail: Detail,
    /// (truth, predicted) -> rows.
    confusion: BTreeMap<(u16, u16), u64>,
    groups: Groups<Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    log_loss: Moments,
    rows: u64,
    right: u64,
    /// Rows by the rank of the true class's probability, from 1; worse ranks are not counted.
    ranks: Vec<u64>,
    by_class: Vec<OneClass>,
}

/// Counts of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct OneClass {
    /// Rows of this class that were predicted correctly.
    pub right: u64,
    /// Rows of this class.
    pub truth: u64,
    /// Rows predicted to be of this class.
    pub predicted: u64,
}

impl OneClass {
    /// Returns 2 TP / (2 TP + FP + FN); 0 if nothing is right.
    pub fn f1(&self) -> f64 {
        match self.truth + self.predicted {
            0 => 0.0,
            both => 2.0 * self.right as f64 / both as f64,
        }
    }
}

impl Merge for OneClass {
    fn merge(&mut self, other: &Self) {
        self.right += other.right;
        self.truth += other.truth;
        self.predicted += other.predicted;
    }
}

impl Merge for Group {
    fn merge(&mut self, other: &Self) {
        self.log_loss.merge(&other.log_loss);
        self.rows += other.rows;
        self.right += other.right;
        self.ranks.merge(&other.ranks);
        self.by_class.merge(&other.by_class);
    }
}

impl Classes {
    pub fn new(classes: u16, probabilities: Option<Precision>, detail: Detail) -> Self {
        Self {
            classes,
            probabilities,
            detail,
            confusion: BTreeMap::new(),
            groups: Groups::default(),
        }
    }

    /// Adds a row. `probabilities` has a number for each class, or is empty. Of equal ones the
    /// later class ranks first, as in scikit-learn.
    pub fn add(&mut self, group: u8, truth: u16, predicted: u16, probabilities: &[f64]) -> Judged {
        *self.confusion.entry((truth, predicted)).or_default() += 1;
        let held = self.groups.entry(self.detail.group(group));
        let right = truth == predicted;
        let by_class = &mut held.by_class;
        by_class.resize_with(usize::from(self.classes), OneClass::default);
        by_class[usize::from(truth)].truth += 1;
        by_class[usize::from(predicted)].predicted += 1;
        by_class[usize::from(truth)].right += u64::from(right);
        held.rows += 1;
        held.right += u64::from(right);
        let mut judged = Judged {
            right: Some(right),
            ..Judged::default()
        };
        if let (Some(precision), Some(given)) =
            (self.probabilities, probabilities.get(usize::from(truth)))
        {
            let loss = losses::log_loss(precision, *given);
            held.log_loss.add(loss);
            judged.losses[0] = Some(loss);
            let before = |(class, other): (usize, &f64)| {
                other > given || other == given && class > usize::from(truth)
            };
            let rank = probabilities.iter().enumerate().map(before);
            let rank = rank.filter(|before| *before).count();
            held.ranks.resize(TOP, 0);
            if let Some(rows) = held.ranks.get_mut(rank) {
                *rows += 1;
            }
        }
        judged
    }

    /// Returns the number of labelled rows.
    pub fn rows(&self) -> u64 {
        self.confusion.values().sum()
    }

    /// Returns (truth, predicted) -> rows; absent pairs are zero.
    pub fn confusion(&self) -> &BTreeMap<(u16, u16), u64> {
        &self.confusion
    }

    /// Returns counts by class, in the order of their names.
    pub fn by_class(&self) -> Vec<OneClass> {
        self.groups.total().by_class
    }

    /// Returns every metric by name.
    pub fn measures(&self) -> BTreeMap<String, Measure> {
        let total = self.groups.total();
        let left_out = self.groups.leave_one_out();
        let shares = (0.0, 1.0);
        let share = |part: u64, rows: u64| match rows {
            0 => Err(Absent::NoRows),
            rows => Ok(part as f64 / rows as f64),
        };
        let mut measures = BTreeMap::new();
        let mut put = |name: &str, range, metric: &dyn Fn(&Group) -> Result<f64, Absent>| {
            let measure = Measure::exact(&total, &left_out, range, metric);
            measures.insert(name.to_owned(), measure);
        };
        put("accuracy", shares, &|group| share(group.right, group.rows));
        // The classes are those of all rows, whichever group is left out.
        let present: Vec<usize> = (0..total.by_class.len())
            .filter(|class| total.by_class[*class].truth + total.by_class[*class].predicted > 0)
            .collect();
        put("macro_f1", shares, &|group| match present.len() {
            0 => Err(Absent::NoRows),
            n => {
                let f1 = present.iter().map(|class| group.by_class[*class].f1());
                Ok(f1.sum::<f64>() / n as f64)
            }
        });
        put("weighted_f1", shares, &|group| {
            let rows = group.rows as f64;
            let weighted = |class: &OneClass| class.f1() * class.truth as f64 / rows;
            match group.rows {
                0 => Err(Absent::NoRows),
                _ => Ok(group.by_class.iter().map(weighted).sum()),
            }
        });
        let none = match self.probabilities {
            Some(_) => Absent::NoRows,
            None => Absent::NotProbabilities,
        };
        put("log_loss", (0.0, f64::INFINITY), &|group| {
            group.log_loss.mean().ok_or(none)
        });
        for k in 2..=TOP.min(usize::from(self.classes).saturating_sub(1)) {
            put(&format!("top_{k}_accuracy"), shares, &|group| {
                let hits = group.ranks.get(..k).ok_or(none)?;
                share(hits.iter().sum(), group.rows)
            });
        }
        measures
    }
}

impl Merge for Classes {
    fn merge(&mut self, other: &Self) {
        for (cell, rows) in &other.confusion {
            *self.confusion.entry(*cell).or_default() += rows;
        }
        self.groups.merge(&other.groups);
    }
}
