//! Score counts by class, group and bin: the basis of ROC AUC and average precision if the scores
//! themselves exceed the memory limit.
//!
//! 4,096 bins of equal width in the logit of a probability (a segment: 1,024); for other scores in
//! asinh(1000 x), which is about logarithmic on both sides of zero. A bin with only one distinct
//! value stores it, so that ties are exact. Groups are counted in the same bins, so that intervals
//! and estimates have the same basis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Detail, GROUPS, Merge};

/// logit(1 - 2^-24), the largest float below one.
const LOGIT_SPAN: f64 = 16.64;
/// asinh(1000 x 10^9): larger scores share the last bin.
const ASINH_SPAN: f64 = 28.4;
const ASINH_SCALE: f64 = 1_000.0;

/// Meaning of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Probabilities, 0 to 1 (trial rows may exceed this by rounding).
    Probability,
    /// Any number; higher is more likely positive.
    Score,
}

impl Scale {
    /// Returns the position of the score, 0 to 1.
    fn place(self, score: f64) -> f64 {
        let (value, span) = match self {
            Self::Probability => {
                let p = score.clamp(0.0, 1.0);
                ((p / (1.0 - p)).ln(), LOGIT_SPAN)
            }
            Self::Score => ((score * ASINH_SCALE).asinh(), ASINH_SPAN),
        };
        ((value + span) / (2.0 * span)).clamp(0.0, 1.0)
    }

    /// Returns the bin of `bins` that contains a score.
    pub fn bin(self, score: f64, bins: u16) -> u16 {
        ((self.place(score) * f64::from(bins)) as u16).min(bins - 1)
    }

    /// Returns the smallest score of bin `bin` of `bins`.
    pub fn lower_edge(self, bin: u16, bins: u16) -> f64 {
        let share = f64::from(bin) / f64::from(bins);
        match self {
            Self::Probability if bin == 0 => 0.0,
            Self::Probability => {
                let logit = (2.0 * share - 1.0) * LOGIT_SPAN;
                1.0 / (1.0 + (-logit).exp())
            }
            Self::Score if bin == 0 => f64::NEG_INFINITY,
            Self::Score => ((2.0 * share - 1.0) * ASINH_SPAN).sinh() / ASINH_SCALE,
        }
    }
}

/// Rows by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByClass {
    pub negative: u64,
    pub positive: u64,
}

impl ByClass {
    /// Adds rows of one class.
    pub fn add(&mut self, positive: bool, rows: u64) {
        match positive {
            true => self.positive += rows,
            false => self.negative += rows,
        }
    }

    /// Returns the rows of both classes.
    pub fn rows(&self) -> u64 {
        self.negative + self.positive
    }
}

impl Merge for ByClass {
    fn merge(&mut self, other: &Self) {
        self.negative += other.negative;
        self.positive += other.positive;
    }
}

/// A bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Smallest score; may be -infinity.
    pub from: f64,
    /// Smallest score of the next bar; may be infinite.
    pub to: f64,
    pub rows: ByClass,
}

/// Rows of one score, or of one bin.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The smallest score.
    pub score: f64,
    /// Whether all scores have one value.
    pub tied: bool,
    /// By group, ascending and distinct.
    pub groups: &'a [(u8, ByClass)],
}

impl Block<'_> {
    /// Returns the rows of all groups.
    pub fn rows(&self) -> ByClass {
        let mut rows = ByClass::default();
        self.groups.iter().for_each(|(_, held)| rows.merge(held));
        rows
    }
}

/// Scores by bin, group and class; sparse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreBins {
    scale: Scale,
    detail: Detail,
    /// The only score of a bin's rows; `None`: several.
    tied: BTreeMap<u16, Option<f64>>,
    /// Key: bin x groups + group.
    #[serde(with = "sparse")]
    rows: BTreeMap<u32, ByClass>,
}

impl ScoreBins {
    pub fn new(scale: Scale, detail: Detail) -> Self {
        Self {
            scale,
            detail,
            tied: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// Adds rows of one score, not NaN. `group` is as returned by [`Detail::group`].
    pub fn add(&mut self, group: u8, score: f64, rows: ByClass) {
        let bin = self.scale.bin(score, self.detail.bins());
        let tied = self.tied.entry(bin).or_insert(Some(score));
        if *tied != Some(score) {
            *tied = None;
        }
        let key = u32::from(bin) * u32::from(GROUPS) + u32::from(group);
        self.rows.entry(key).or_default().merge(&rows);
    }

    /// Calls `see` for each bin with its rows, from the highest score down.
    pub fn blocks(&self, mut see: impl FnMut(Block<'_>)) {
        let groups = u32::from(GROUPS);
        let mut held: Vec<(u8, ByClass)> = Vec::new();
        for (bin, tied) in self.tied.iter().rev() {
            let first = u32::from(*bin) * groups;
            let rows = self.rows.range(first..first + groups);
            held.clear();
            held.extend(rows.map(|(key, rows)| ((key % groups) as u8, *rows)));
            let edge = || self.scale.lower_edge(*bin, self.detail.bins());
            see(Block {
                score: tied.unwrap_or_else(edge),
                tied: tied.is_some(),
                groups: &held,
            });
        }
    }
}

impl Merge for ScoreBins {
    fn merge(&mut self, other: &Self) {
        for (bin, theirs) in &other.tied {
            let tied = self.tied.entry(*bin).or_insert(*theirs);
            if tied != theirs {
                *tied = None;
            }
        }
        for (key, theirs) in &other.rows {
            self.rows.entry(*key).or_default().merge(theirs);
        }
    }
}

/// Serialises keys as distances from the previous one: most take one byte.
mod sparse {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::ByClass;

    pub fn serialize<S: Serializer>(
        rows: &BTreeMap<u32, ByClass>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut last = 0;
        let rows = rows.iter().map(|(key, rows)| {
            let distance = key - last;
            last = *key;
            (distance, rows.negative, rows.positive)
        });
        rows.collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<u32, ByClass>, D::Error> {
        let rows = Vec::<(u32, u64, u64)>::deserialize(deserializer)?;
        let mut key = 0_u32;
        let rows = rows.into_iter().map(|(distance, negative, positive)| {
            key = key.saturating_add(distance);
            (key, ByClass { negative, positive })
        });
        Ok(rows.collect())
    }
}
