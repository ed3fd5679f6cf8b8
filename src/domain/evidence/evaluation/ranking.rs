//! Labelled scores in order: all of them within a memory limit, else in bins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, GROUPS, Merge,
    exact_scores::ExactScores,
    score_bins::{Bar, Block, ByClass, Scale, ScoreBins},
};

/// Maximum number of bars of the histogram.
const BARS: u16 = 40;

/// Scores of one version by class and group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    scale: Scale,
    detail: Detail,
    held: Held,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Held {
    Exact(ExactScores),
    Binned(ScoreBins),
}

/// Rows by class, of all groups and of each group.
#[derive(Debug, Clone)]
pub struct Totals {
    pub all: ByClass,
    pub groups: Vec<ByClass>,
}

impl Ranking {
    /// Returns an empty ranking that stores scores.
    pub fn new(scale: Scale, detail: Detail) -> Self {
        Self {
            scale,
            detail,
            held: Held::Exact(ExactScores::default()),
        }
    }

    /// Adds a row. `score` must not be NaN.
    pub fn add(&mut self, group: u8, positive: bool, score: f64) {
        let group = self.detail.group(group);
        match &mut self.held {
            Held::Exact(exact) => exact.add(group, positive, score),
            Held::Binned(bins) => {
                let mut row = ByClass::default();
                row.add(positive, 1);
                bins.add(group, score + 0.0, row);
            }
        }
    }

    /// Returns whether every score is stored.
    pub fn is_exact(&self) -> bool {
        matches!(self.held, Held::Exact(_))
    }

    /// Returns the number of cells in memory; none once scores are binned.
    pub fn cells(&self) -> usize {
        match &self.held {
            Held::Exact(exact) => exact.cells(),
            Held::Binned(_) => 0,
        }
    }

    /// Merges equal cells.
    pub fn compact(&mut self) {
        if let Held::Exact(exact) = &mut self.held {
            exact.compact();
        }
    }

    /// Bins the scores, now and from now on.
    pub fn bin(&mut self) {
        let mut bins = ScoreBins::new(self.scale, self.detail);
        if let Held::Exact(exact) = &self.held {
            put(exact, &mut bins);
            self.held = Held::Binned(bins);
        }
    }

    /// Calls `see` for each distinct score, or each bin, with its rows, from the highest score
    /// down.
    pub fn blocks(&self, see: impl FnMut(Block<'_>)) {
        match &self.held {
            Held::Exact(exact) => exact.blocks(see),
            Held::Binned(bins) => bins.blocks(see),
        }
    }

    /// Returns the rows by class and group.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            all: ByClass::default(),
            groups: vec![ByClass::default(); usize::from(GROUPS)],
        };
        self.blocks(|block| {
            for (group, rows) in block.groups {
                totals.all.merge(rows);
                totals.groups[usize::from(*group)].merge(rows);
            }
        });
        totals
    }

    /// Returns at most 40 bars of equally many bins, from the first filled bin to the last.
    pub fn histogram(&self) -> Vec<Bar> {
        let bins = self.detail.bins();
        let mut filled: BTreeMap<u16, ByClass> = BTreeMap::new();
        self.blocks(|block| {
            let bin = filled.entry(self.scale.bin(block.score, bins));
            bin.or_default().merge(&block.rows());
        });
        let ends = filled.keys().next().zip(filled.keys().next_back());
        let Some((first, last)) = ends.map(|(first, last)| (*first, *last)) else {
            return Vec::new();
        };
        let per = (last - first + 1).div_ceil(BARS);
        let edge = |bin: u16| match bin >= bins {
            true => f64::INFINITY,
            false => self.scale.lower_edge(bin, bins),
        };
        let bar = |from: u16| {
            let mut rows = ByClass::default();
            let within = filled.range(from..from + per);
            within.for_each(|(_, held)| rows.merge(held));
            Bar {
                from: edge(from),
                to: edge(from + per),
                rows,
            }
        };
        (first..=last).step_by(usize::from(per)).map(bar).collect()
    }
}

fn put(exact: &ExactScores, bins: &mut ScoreBins) {
    exact.blocks(|block| {
        for (group, rows) in block.groups {
            bins.add(*group, block.score, *rows);
        }
    });
}

impl Totals {
    /// Returns the number of groups with rows of the rarer class.
    pub fn groups_of_rarer_class(&self) -> usize {
        let with = |held: fn(&ByClass) -> u64| {
            let groups = self.groups.iter();
            groups.filter(|rows| held(rows) > 0).count()
        };
        with(|rows| rows.negative).min(with(|rows| rows.positive))
    }
}

impl Merge for Ranking {
    fn merge(&mut self, other: &Self) {
        if let Held::Binned(_) = other.held {
            self.bin();
        }
        match (&mut self.held, &other.held) {
            (Held::Exact(own), Held::Exact(theirs)) => own.append(theirs),
            (Held::Binned(own), Held::Binned(theirs)) => own.merge(theirs),
            (Held::Binned(own), Held::Exact(theirs)) => put(theirs, own),
            (Held::Exact(_), Held::Binned(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_scores_hold_every_row_between_their_edges() {
        let mut kept = Ranking::new(Scale::Score, Detail::Whole);
        for row in 0..5_000_u32 {
            let score = (f64::from(row) - 1_000.0) / 7.0;
            kept.add((row % 100) as u8, row % 5 == 0, score);
        }
        let mut binned = kept.clone();
        binned.bin();
        for bars in [kept.histogram(), binned.histogram()] {
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
        }
        assert!(
            Ranking::new(Scale::Score, Detail::Whole)
                .histogram()
                .is_empty()
        );
    }

    #[test]
    fn bins_are_the_same_whenever_they_are_made() {
        let row = |row: u32| {
            (
                f64::from(row % 97) / 97.0,
                row.is_multiple_of(3),
                (row % 100) as u8,
            )
        };
        let mut late = Ranking::new(Scale::Probability, Detail::Whole);
        let mut early = late.clone();
        early.bin();
        let mut merged = late.clone();
        for part in 0..10 {
            let mut own = Ranking::new(Scale::Probability, Detail::Whole);
            for (score, positive, group) in (part * 50..(part + 1) * 50).map(row) {
                late.add(group, positive, score);
                early.add(group, positive, score);
                own.add(group, positive, score);
            }
            if part % 3 == 1 {
                own.bin();
            }
            merged.merge(&own);
        }
        assert!(late.is_exact() && late.cells() == 500);
        late.bin();
        assert_eq!((&late, late.cells()), (&early, 0));
        assert_eq!(merged, early);
    }
}
