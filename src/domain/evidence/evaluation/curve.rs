//! ROC AUC and average precision with the bound of the binning error, also without each group.
//!
//! All estimates are computed from the same blocks: distinct scores, or bins.

use std::collections::BTreeMap;

use statrs::function::gamma::digamma;

use super::{
    Merge,
    jackknife::ENOUGH_GROUPS,
    measure::{Absent, Measure},
    ranking::{Ranking, Totals},
    score_bins::{Block, ByClass},
};

/// Returns the area under the ROC curve: the share of pairs of a positive and a negative row in
/// which the positive one scores higher; ties count one half (Mann and Whitney 1947).
///
/// In a bin of several values every pair counts one half, so the error is at most
/// sum of p_b n_b / (2 P N). Leaving a group out removes all pairs with a row in it.
pub fn roc_auc(ranking: &Ranking) -> Measure {
    measure(ranking, |totals| {
        let (mut won, mut undecided) = (0.0, 0.0);
        let mut above = ByClass::default();
        let mut groups_above = vec![0_u64; totals.groups.len()];
        let mut gone = vec![0.0; totals.groups.len()];
        ranking.blocks(|block| {
            let rows = block.rows();
            let (negative, positive) = (rows.negative as f64, rows.positive as f64);
            let higher = above.positive as f64 + positive / 2.0;
            let lower =
                (totals.all.negative - above.negative - rows.negative) as f64 + negative / 2.0;
            won += negative * higher;
            if !block.tied {
                undecided += positive * negative / 2.0;
            }
            for (group, held) in block.groups {
                let group = usize::from(*group);
                let own_higher = groups_above[group] as f64 + held.positive as f64 / 2.0;
                gone[group] +=
                    held.positive as f64 * lower + held.negative as f64 * (higher - own_higher);
                groups_above[group] += held.positive;
            }
            above.merge(&rows);
        });
        let pairs = |rows: ByClass| rows.positive as f64 * rows.negative as f64;
        let left_out = gone.into_iter().enumerate();
        Areas {
            value: won / pairs(totals.all),
            bound: undecided / pairs(totals.all),
            left_out: left_out
                .map(|(group, gone)| (won - gone) / pairs(totals.without(group)))
                .collect(),
        }
    })
}

/// Returns the average precision: the sum over descending thresholds of (gain in recall) x
/// precision, as scikit-learn's `average_precision_score`.
///
/// A block of one value is one threshold. In a bin of several values, classes are assumed to be
/// mixed evenly (Davis and Goadrich 2006); the bound is from its best and its worst order.
pub fn average_precision(ranking: &Ranking) -> Measure {
    measure(ranking, |totals| {
        let groups = totals.groups.len();
        let mut above = ByClass::default();
        let mut groups_above = vec![ByClass::default(); groups];
        let mut within = vec![ByClass::default(); groups];
        let (mut even, mut worst, mut best) = (0.0, 0.0, 0.0);
        let mut without = vec![0.0; groups];
        let filled = |group: &usize| totals.groups[*group].rows() > 0;
        let filled: Vec<usize> = (0..groups).filter(filled).collect();
        ranking.blocks(|block| {
            let rows = block.rows();
            if rows.positive > 0 {
                for (group, held) in block.groups {
                    within[usize::from(*group)] = *held;
                }
                let gain = gains(&block, above, rows);
                even += gain.even;
                worst += gain.worst;
                best += gain.best;
                for &group in &filled {
                    let above = less(above, groups_above[group]);
                    without[group] += even_gain(block.tied, above, less(rows, within[group]));
                }
                for (group, _) in block.groups {
                    within[usize::from(*group)] = ByClass::default();
                }
            }
            for (group, held) in block.groups {
                groups_above[usize::from(*group)].merge(held);
            }
            above.merge(&rows);
        });
        let found = totals.all.positive as f64;
        let left_out = without.into_iter().enumerate();
        Areas {
            value: even / found,
            bound: (best - even).max(even - worst) / found,
            left_out: left_out
                .map(|(group, sum)| sum / totals.without(group).positive as f64)
                .collect(),
        }
    })
}

/// The contribution of a block to (gain in recall) x precision, times all positives.
struct Gains {
    even: f64,
    worst: f64,
    best: f64,
}

fn gains(block: &Block<'_>, above: ByClass, rows: ByClass) -> Gains {
    let even = even_gain(block.tied, above, rows);
    if is_one_threshold(block.tied, above, rows) {
        return Gains {
            even,
            worst: even,
            best: even,
        };
    }
    let (found, wrong) = (above.positive as f64, above.negative as f64);
    let (negative, positive) = (rows.negative as f64, rows.positive as f64);
    Gains {
        even,
        worst: ranked(found, wrong + negative, positive, 0.0),
        best: positive * (found + positive) / (found + positive + wrong),
    }
}

fn is_one_threshold(tied: bool, above: ByClass, rows: ByClass) -> bool {
    tied || rows.negative == 0 && above.negative == 0
}

fn even_gain(tied: bool, above: ByClass, rows: ByClass) -> f64 {
    if rows.positive == 0 {
        return 0.0;
    }
    let (found, wrong) = (above.positive as f64, above.negative as f64);
    let (negative, positive) = (rows.negative as f64, rows.positive as f64);
    match is_one_threshold(tied, above, rows) {
        true => positive * (found + positive) / (found + positive + wrong + negative),
        false => ranked(found, wrong, positive, negative / positive),
    }
}

/// Returns the sum over i = 1..=positives of (found + i) / (found + i + wrong + i x ratio), in
/// closed form: each term is 1/c + (a - b/c) / (b + c i), and sums of 1 / (x + i) are differences
/// of digamma.
fn ranked(found: f64, wrong: f64, positives: f64, ratio: f64) -> f64 {
    let (a, b, c) = (found, found + wrong, 1.0 + ratio);
    if positives <= 32.0 {
        let term = |i: u32| (a + f64::from(i)) / (b + c * f64::from(i));
        return (1..=positives as u32).map(term).sum();
    }
    let harmonic = digamma(b / c + positives + 1.0) - digamma(b / c + 1.0);
    positives / c + (a - b / c) * harmonic / c
}

fn less(rows: ByClass, other: ByClass) -> ByClass {
    ByClass {
        negative: rows.negative - other.negative,
        positive: rows.positive - other.positive,
    }
}

impl Totals {
    fn without(&self, group: usize) -> ByClass {
        less(self.all, self.groups[group])
    }
}

/// An area, and the areas without each group.
struct Areas {
    value: f64,
    bound: f64,
    left_out: Vec<f64>,
}

fn measure(ranking: &Ranking, areas: impl FnOnce(&Totals) -> Areas) -> Measure {
    let totals = ranking.totals();
    match (totals.all.negative, totals.all.positive) {
        (0, 0) => return Measure::absent(Absent::NoRows),
        (0, _) | (_, 0) => return Measure::absent(Absent::OneClass),
        _ => {}
    }
    let areas = areas(&totals);
    let mut left_out = BTreeMap::new();
    if totals.groups_of_rarer_class() >= ENOUGH_GROUPS {
        for ((group, rows), area) in (0_u8..).zip(&totals.groups).zip(areas.left_out) {
            if rows.rows() > 0 {
                left_out.insert(group, area);
            }
        }
    }
    Measure {
        value: Ok(areas.value),
        bound: (!ranking.is_exact()).then_some(areas.bound),
        left_out,
        range: (0.0, 1.0),
    }
}
