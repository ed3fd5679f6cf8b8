//! Scores counted by class in bins: what ROC AUC and average precision are made of.
//!
//! 4,096 bins of equal width in the logit of a probability; for scores that are no probabilities,
//! in asinh(1000 x), which is about logarithmic on both sides of zero. A bin that holds one value
//! only remembers it: ties are then exact. For intervals the same is counted by group in fewer bins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Detail, Merge};

/// logit(1 - 2^-24), the largest float below one.
const LOGIT_SPAN: f64 = 16.64;
/// asinh(1000 x 10^9): larger scores share the last bin.
const ASINH_SPAN: f64 = 28.4;
const ASINH_SCALE: f64 = 1_000.0;
/// Bars of the histogram, at most.
const BARS: u16 = 40;

/// What scores mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Probabilities, 0 to 1 (trial rows may go beyond by rounding).
    Probability,
    /// Any number; higher is more likely positive.
    Score,
}

impl Scale {
    /// Where the score lies, 0 to 1.
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

    /// The smallest score of bin `bin` of `bins`.
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
#[allow(missing_docs)]
pub struct ByClass {
    pub negative: u64,
    pub positive: u64,
}

impl ByClass {
    /// One more.
    pub fn add(&mut self, positive: bool) {
        match positive {
            true => self.positive += 1,
            false => self.negative += 1,
        }
    }

    /// Of both classes.
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
    /// Its smallest score; may be -infinity.
    pub from: f64,
    /// The next one's smallest score; may be infinite.
    pub to: f64,
    /// Rows in it.
    pub rows: ByClass,
}

/// A bin of all rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// By parity of the group: a threshold is chosen on the even ones and reported on the odd ones.
    pub halves: [ByClass; 2],
    /// The one score of all its rows; `None`: several.
    pub tied: Option<f64>,
}

impl Bin {
    /// Both halves.
    pub fn rows(&self) -> ByClass {
        let mut rows = self.halves[0];
        rows.merge(&self.halves[1]);
        rows
    }
}

impl Merge for Bin {
    fn merge(&mut self, other: &Self) {
        self.halves[0].merge(&other.halves[0]);
        self.halves[1].merge(&other.halves[1]);
        if self.tied != other.tied {
            self.tied = None;
        }
    }
}

/// Scores by class; sparse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreBins {
    scale: Scale,
    detail: Detail,
    bins: BTreeMap<u16, Bin>,
    /// Key: group x coarse bins + coarse bin.
    by_group: BTreeMap<u32, ByClass>,
}

impl ScoreBins {
    /// Nothing was seen yet.
    pub fn new(scale: Scale, detail: Detail) -> Self {
        Self {
            scale,
            detail,
            bins: BTreeMap::new(),
            by_group: BTreeMap::new(),
        }
    }

    fn fine(&self) -> u16 {
        match self.detail {
            Detail::Whole => 4_096,
            Detail::Segment => 1_024,
        }
    }

    fn coarse(&self) -> u16 {
        match self.detail {
            Detail::Whole => 256,
            Detail::Segment => 64,
        }
    }

    /// Adds a row. `score` must be a number.
    pub fn add(&mut self, group: u8, positive: bool, score: f64) {
        let place = self.scale.place(score);
        let at = |bins: u16| ((place * f64::from(bins)) as u16).min(bins - 1);
        let (fine, coarse) = (at(self.fine()), at(self.coarse()));
        let bin = self.bins.entry(fine).or_insert(Bin {
            halves: [ByClass::default(); 2],
            tied: Some(score),
        });
        bin.halves[usize::from(group % 2)].add(positive);
        if bin.tied.is_some_and(|tied| tied != score) {
            bin.tied = None;
        }
        let group = u32::from(self.detail.group(group));
        let key = group * u32::from(self.coarse()) + u32::from(coarse);
        self.by_group.entry(key).or_default().add(positive);
    }

    /// Rows by class.
    pub fn rows(&self) -> ByClass {
        let mut rows = ByClass::default();
        self.bins.values().for_each(|bin| rows.merge(&bin.rows()));
        rows
    }

    /// Ascending by score: the smallest score of each bin, and what it holds.
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, &Bin)> {
        self.bins.iter().map(|(at, bin)| {
            let edge = self.scale.lower_edge(*at, self.fine());
            (bin.tied.unwrap_or(edge), bin)
        })
    }

    /// At most 40 bars of equally many bins, from the first filled bin to the last.
    pub fn histogram(&self) -> Vec<Bar> {
        let ends = self.bins.keys().next().zip(self.bins.keys().next_back());
        let Some((first, last)) = ends.map(|(first, last)| (*first, *last)) else {
            return Vec::new();
        };
        let per = (last - first + 1).div_ceil(BARS);
        let edge = |bin: u16| match bin >= self.fine() {
            true => f64::INFINITY,
            false => self.scale.lower_edge(bin, self.fine()),
        };
        (first..=last)
            .step_by(usize::from(per))
            .map(|from| {
                let mut rows = ByClass::default();
                let bins = self.bins.range(from..from + per);
                bins.for_each(|(_, bin)| rows.merge(&bin.rows()));
                let to = edge(from + per);
                Bar {
                    from: edge(from),
                    to,
                    rows,
                }
            })
            .collect()
    }

    /// For each group: the coarse bins of all the others, ascending by score. A group is left
    /// out of the answer where it held no rows.
    pub fn leave_one_out(&self) -> BTreeMap<u8, Vec<ByClass>> {
        let coarse = u32::from(self.coarse());
        let mut total = vec![ByClass::default(); coarse as usize];
        for (key, rows) in &self.by_group {
            total[(key % coarse) as usize].merge(rows);
        }
        let mut left = BTreeMap::new();
        for (key, rows) in &self.by_group {
            let others: &mut Vec<ByClass> = left
                .entry((key / coarse) as u8)
                .or_insert_with(|| total.clone());
            let cell = &mut others[(key % coarse) as usize];
            cell.negative -= rows.negative;
            cell.positive -= rows.positive;
        }
        left
    }

    /// Groups that hold rows of the rarer class.
    pub fn groups_of_rarer_class(&self) -> usize {
        let coarse = u32::from(self.coarse());
        let mut groups: BTreeMap<u32, ByClass> = BTreeMap::new();
        for (key, rows) in &self.by_group {
            groups.entry(key / coarse).or_default().merge(rows);
        }
        let with =
            |held: fn(&ByClass) -> u64| groups.values().filter(|rows| held(rows) > 0).count();
        with(|rows| rows.negative).min(with(|rows| rows.positive))
    }
}

impl Merge for ScoreBins {
    fn merge(&mut self, other: &Self) {
        for (at, theirs) in &other.bins {
            match self.bins.get_mut(at) {
                Some(mine) => mine.merge(theirs),
                None => {
                    self.bins.insert(*at, *theirs);
                }
            }
        }
        for (key, theirs) in &other.by_group {
            self.by_group.entry(*key).or_default().merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_scores_hold_every_row_between_their_edges() {
        let mut bins = ScoreBins::new(Scale::Score, Detail::Whole);
        for row in 0..5_000_u32 {
            let score = (f64::from(row) - 1_000.0) / 7.0;
            bins.add((row % 100) as u8, row % 5 == 0, score);
        }
        let bars = bins.histogram();
        assert!(bars.len() <= 40, "{}", bars.len());
        assert_eq!(bars.iter().map(|bar| bar.rows.rows()).sum::<u64>(), 5_000);
        assert!(bars.windows(2).all(|pair| pair[0].to == pair[1].from));
        let of = |bar: &Bar| {
            let rows = (0..5_000_u32).map(|row| (f64::from(row) - 1_000.0) / 7.0);
            rows.filter(|score| (bar.from..bar.to).contains(score))
                .count() as u64
        };
        // A score on an edge may round to either side of it.
        assert!(
            bars.iter()
                .all(|bar| of(bar).abs_diff(bar.rows.rows()) <= 2)
        );
        assert!(
            ScoreBins::new(Scale::Score, Detail::Whole)
                .histogram()
                .is_empty()
        );
    }
}
