//! ROC AUC and average precision of binned scores, with what binning can have cost.

use std::collections::BTreeMap;

use statrs::function::gamma::digamma;

use super::{
    jackknife::ENOUGH_GROUPS,
    measure::{Absent, Measure},
    score_bins::{ByClass, ScoreBins},
};

/// A bin as the curves see it.
#[derive(Debug, Clone, Copy)]
struct Step {
    rows: ByClass,
    /// All its scores are one value.
    tied: bool,
}

/// Area under the ROC curve: the share of pairs of a positive and a negative row in which the
/// positive one scores higher, ties counting one half (Mann and Whitney 1947).
///
/// Within a bin of several values every pair counts one half, so the error is at most
/// sum of p_b n_b / (2 P N).
pub fn roc_auc(bins: &ScoreBins) -> Measure {
    measure(bins, |steps| {
        let (mut area, mut bound, mut below) = (0.0, 0.0, 0.0);
        for step in steps {
            let (negative, positive) = (step.rows.negative as f64, step.rows.positive as f64);
            area += positive * (below + negative / 2.0);
            below += negative;
            if !step.tied {
                bound += positive * negative / 2.0;
            }
        }
        let positives: f64 = steps.iter().map(|step| step.rows.positive as f64).sum();
        let pairs = positives * below;
        (area / pairs, bound / pairs)
    })
}

/// Average precision: the sum over thresholds, descending, of (gain in recall) x precision, which
/// is what scikit-learn's `average_precision_score` computes.
///
/// A bin of one value is one threshold. In a bin of several, classes are taken to be mixed evenly
/// (Davis and Goadrich 2006); the bound comes from its best and its worst order.
pub fn average_precision(bins: &ScoreBins) -> Measure {
    measure(bins, |steps| {
        let (mut found, mut wrong) = (0.0, 0.0);
        let (mut even, mut worst, mut best) = (0.0, 0.0, 0.0);
        for step in steps.iter().rev() {
            let (negative, positive) = (step.rows.negative as f64, step.rows.positive as f64);
            let tied = positive * (found + positive) / (found + positive + wrong + negative);
            if positive > 0.0 && (step.tied || negative == 0.0 && wrong == 0.0) {
                even += tied;
                worst += tied;
                best += tied;
            } else if positive > 0.0 {
                even += ranked(found, wrong, positive, negative / positive);
                worst += ranked(found, wrong + negative, positive, 0.0);
                best += positive * (found + positive) / (found + positive + wrong);
            }
            found += positive;
            wrong += negative;
        }
        let bound = (best - even).max(even - worst);
        (even / found, bound / found)
    })
}

/// Sum over i = 1..=positives of (found + i) / (found + i + wrong + i x ratio), in closed form:
/// each term is 1/c + (a - b/c) / (b + c i), and sums of 1 / (x + i) are differences of digamma.
fn ranked(found: f64, wrong: f64, positives: f64, ratio: f64) -> f64 {
    let (a, b, c) = (found, found + wrong, 1.0 + ratio);
    if positives <= 32.0 {
        let term = |i: u32| (a + f64::from(i)) / (b + c * f64::from(i));
        return (1..=positives as u32).map(term).sum();
    }
    let harmonic = digamma(b / c + positives + 1.0) - digamma(b / c + 1.0);
    positives / c + (a - b / c) * harmonic / c
}

fn measure(bins: &ScoreBins, area: impl Fn(&[Step]) -> (f64, f64)) -> Measure {
    let rows = bins.rows();
    match (rows.negative, rows.positive) {
        (0, 0) => return Measure::absent(Absent::NoRows),
        (0, _) | (_, 0) => return Measure::absent(Absent::OneClass),
        _ => {}
    }
    let steps: Vec<Step> = bins
        .bins()
        .map(|(_, bin)| Step {
            rows: bin.rows(),
            tied: bin.tied.is_some(),
        })
        .collect();
    let (value, bound) = area(&steps);
    let mut left_out = BTreeMap::new();
    if bins.groups_of_rarer_class() >= ENOUGH_GROUPS {
        for (group, others) in bins.leave_one_out() {
            let steps = others.into_iter().filter(|rows| rows.rows() > 0);
            let steps: Vec<Step> = steps.map(|rows| Step { rows, tied: false }).collect();
            left_out.insert(group, area(&steps).0);
        }
    }
    Measure {
        value: Ok(value),
        bound: Some(bound),
        left_out,
        range: (0.0, 1.0),
    }
}
