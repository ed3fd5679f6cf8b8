//! What a model's answers say about it: independence of rows, probabilities, labels.

use crate::domain::{
    model::{Output, Signature},
    tensor::{OutputBatch, TensorData},
    tolerance::{Tolerance, float, is_label},
};

/// Compares answers with those of rows alone.
pub(super) struct Judge<'a> {
    signature: &'a Signature,
    alone: &'a OutputBatch,
    /// Rows before this one are golden.
    golden: usize,
    /// For each output, for each of its columns: the root mean square over random rows.
    scales: Vec<Vec<f64>>,
}

impl<'a> Judge<'a> {
    /// `golden`: how many of the rows alone are golden ones; they stand first.
    pub(super) fn new(signature: &'a Signature, alone: &'a OutputBatch, golden: usize) -> Self {
        let pairs = signature.outputs.iter().zip(&alone.outputs);
        let scales = pairs
            .map(|(output, data)| {
                let width = output.width();
                let column = |k: usize| {
                    let values: Vec<f64> = (golden..alone.rows)
                        .filter_map(|row| float(data, row * width + k))
                        .filter(|value| value.is_finite())
                        .collect();
                    let squares: f64 = values.iter().map(|value| value * value).sum();
                    (squares / values.len().max(1) as f64).sqrt()
                };
                (0..width).map(column).collect()
            })
            .collect();
        Self {
            signature,
            alone,
            golden,
            scales,
        }
    }

    /// What differs between the answer at `i` and that of `row` alone.
    pub(super) fn differs(&self, answers: &OutputBatch, i: usize, row: usize) -> Option<String> {
        let usual = Tolerance::default();
        let (o, k) = usual.differing(self.signature, (answers, i), (self.alone, row))?;
        let output = &self.signature.outputs[o];
        let width = output.width();
        let (got, expected) = (&answers.outputs[o], &self.alone.outputs[o]);
        // Random rows may land where large terms cancel; there float32 rounds by more than 1e-5 of
        // the result, though not of what usually comes out. Golden rows are held to the result.
        if row >= self.golden
            && let (Some(a), Some(b)) =
                (float(got, i * width + k), float(expected, row * width + k))
            && (a - b).abs() <= usual.rtol * self.scales[o][k]
        {
            return None;
        }
        Some(format!(
            "`{}` is {} and not {}",
            column_name(output, k),
            shown(got, i * width + k),
            shown(expected, row * width + k)
        ))
    }
}

/// `probabilities[1]`, or the name alone where there is one value a row.
pub(super) fn column_name(output: &Output, offset: usize) -> String {
    match output.width() {
        1 => output.public_name.clone(),
        _ => format!("{}[{offset}]", output.public_name),
    }
}

/// A value for people.
pub(super) fn shown(data: &TensorData, at: usize) -> String {
    match data {
        TensorData::String(values) => format!("{:?}", &values[at]),
        _ => crate::each_tensor!(data, values => format!("{:?}", &values[at])),
    }
}

/// A label that is never the class of the largest score, over eight rows or more: the scores bear
/// each other's names (ONNX Runtime does that to the binary SVC of scikit-learn).
pub(super) fn label_disagrees(signature: &Signature, answers: &OutputBatch) -> Option<String> {
    let pairs = || signature.outputs.iter().zip(&answers.outputs);
    let (label, labels) = pairs().find(|(output, data)| is_label(data, output.width()))?;
    let (scores, classes, data) =
        pairs().find_map(|(output, data)| Some((output, output.classes.as_ref()?, data)))?;
    let width = scores.width();
    let mut known = 0;
    for row in 0..answers.rows {
        let said = match labels {
            TensorData::String(values) => values[row].to_owned(),
            _ => shown(labels, row),
        };
        if !classes.names.contains(&said) {
            continue;
        }
        let best = (0..width).max_by(|a, b| {
            let score = |k: usize| float(data, row * width + k).unwrap_or(f64::NAN);
            score(*a).total_cmp(&score(*b))
        })?;
        if classes.names[best] == said {
            return None;
        }
        known += 1;
    }
    (known >= 8).then(|| {
        format!(
            "label_disagrees: `{}` is never the class of the largest of `{}`; the scores may bear each other's names",
            label.public_name, scores.public_name
        )
    })
}

/// Whether all accepted rows of an output lie in [0, 1] and sum to 1, both within 1e-3. Rows with a
/// NaN say nothing.
pub(super) fn is_simplex(output: &Output, data: &TensorData) -> bool {
    let width = output.width();
    let rows = data.len().checked_div(width).unwrap_or(0);
    let mut seen = false;
    for row in 0..rows {
        let values: Option<Vec<f64>> = (row * width..(row + 1) * width)
            .map(|at| float(data, at))
            .collect();
        let Some(values) = values else { return false };
        if values.iter().any(|value| value.is_nan()) {
            continue;
        }
        seen = true;
        let inside = values
            .iter()
            .all(|value| (-1e-3..=1.0 + 1e-3).contains(value));
        if !inside || (values.iter().sum::<f64>() - 1.0).abs() > 1e-3 {
            return false;
        }
    }
    seen && width >= 2
}
