//! Detects which scores decide a label from trial rows, since graphs express it in many ways.

use std::collections::BTreeMap;

use super::judge::format_value;
use crate::domain::model::{
    DecidedBy, Signature,
    tensor::OutputBatch,
    tolerance::{Tolerance, float, is_label},
};

/// Minimum number of rows that prove a relation.
const ENOUGH: usize = 8;

/// Sets for every label the first output that decides it in all rows whose scores do not tie: each
/// index of the largest score (or side of 0 or 0.5, for one score) corresponds to one label, and at
/// least two labels occur. An embedding or a regression beside the label does not satisfy this.
pub(super) fn pair(signature: &mut Signature, answers: &OutputBatch) {
    for label in 0..signature.outputs.len() {
        if !is_label(&answers.outputs[label], signature.outputs[label].width()) {
            continue;
        }
        let candidates = (0..signature.outputs.len()).flat_map(|output| {
            [None, Some(0.0), Some(0.5)].map(|threshold| DecidedBy { output, threshold })
        });
        let mut deciding =
            candidates.filter(|candidate| decides(signature, answers, label, *candidate));
        let decided_by = deciding.next();
        signature.outputs[label].observed.decided_by = decided_by;
    }
}

fn decides(
    signature: &Signature,
    answers: &OutputBatch,
    label: usize,
    candidate: DecidedBy,
) -> bool {
    let width = signature.outputs[candidate.output].width();
    let data = &answers.outputs[candidate.output];
    if (width == 1) != candidate.threshold.is_some() || float_missing(answers, candidate.output) {
        return false;
    }
    let usual = Tolerance::default();
    let mut labels: BTreeMap<usize, String> = BTreeMap::new();
    let mut rows = 0;
    for row in 0..answers.rows {
        let scores: Vec<f64> = (0..width)
            .filter_map(|k| float(data, row * width + k))
            .collect();
        let place = match candidate.threshold {
            Some(threshold) if usual.close(scores[0], threshold) => continue,
            Some(threshold) => usize::from(scores[0] > threshold),
            None => {
                let mut best: Vec<usize> = (0..width).collect();
                best.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                if usual.close(scores[best[0]], scores[best[1]]) {
                    continue;
                }
                best[0]
            }
        };
        if scores.iter().any(|score| score.is_nan()) {
            continue;
        }
        let said = format_value(&answers.outputs[label], row);
        if *labels.entry(place).or_insert_with(|| said.clone()) != said {
            return false;
        }
        rows += 1;
    }
    let mut distinct: Vec<&String> = labels.values().collect();
    distinct.sort();
    distinct.dedup();
    rows >= ENOUGH && distinct.len() >= 2 && distinct.len() == labels.len()
}

fn float_missing(answers: &OutputBatch, output: usize) -> bool {
    let data = &answers.outputs[output];
    data.is_empty() || float(data, 0).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{
        Output,
        tensor::{Element, TensorData},
    };

    fn output(name: &str, element: Element, width: usize) -> Output {
        Output {
            name: name.to_owned(),
            public_name: name.to_owned(),
            element,
            dims: vec![width],
            simplex: false,
            classes: None,
            observed: Default::default(),
        }
    }

    /// Twelve rows of a label, an embedding behind ReLU, a regression and scores.
    fn paired(label_of: impl Fn(usize) -> i64) -> Option<DecidedBy> {
        let mut signature = Signature {
            inputs: Vec::new(),
            outputs: vec![
                output("label", Element::Int64, 1),
                output("embedding", Element::Float, 3),
                output("price", Element::Float, 1),
                output("scores", Element::Float, 2),
            ],
            fixed_batch: None,
        };
        let rows = 0..12_usize;
        let embedding = |row: usize| [(row % 3) as f32, ((row / 2) % 4) as f32, 0.0];
        let answers = OutputBatch {
            rows: rows.len(),
            outputs: vec![
                TensorData::Int64(rows.clone().map(label_of).collect()),
                TensorData::Float(rows.clone().flat_map(embedding).collect()),
                TensorData::Float(rows.clone().map(|row| row as f32 * 100.0 - 550.0).collect()),
                TensorData::Float(
                    rows.flat_map(|row| match row % 2 {
                        0 => [0.7, 0.3],
                        _ => [0.2, 0.8],
                    })
                    .collect(),
                ),
            ],
        };
        pair(&mut signature, &answers);
        signature.outputs[0].observed.decided_by
    }

    #[test]
    fn the_scores_whose_largest_goes_with_the_label_decide_it() {
        let scores = DecidedBy {
            output: 3,
            threshold: None,
        };
        assert_eq!(paired(|row| (row % 2) as i64), Some(scores));
    }

    #[test]
    fn a_score_that_changes_the_label_at_a_threshold_decides_it() {
        let price = DecidedBy {
            output: 2,
            threshold: Some(0.0),
        };
        assert_eq!(paired(|row| i64::from(row >= 6)), Some(price));
    }

    #[test]
    fn nothing_decides_a_label_that_goes_with_nothing() {
        assert_eq!(paired(|row| (row % 5) as i64), None);
        assert_eq!(paired(|_| 1), None);
    }
}
