//! Checks a model's results: independence of rows, probabilities, labels.

use crate::domain::model::{
    Output, Signature,
    tensor::{OutputBatch, TensorData},
    tolerance::{Tolerance, float, is_label},
};

/// Compares results of one row within the usual rounding.
pub(super) struct Judge<'a> {
    signature: &'a Signature,
    /// Results of rows scored alone.
    pub(super) alone: &'a OutputBatch,
    /// Number of golden rows, which come first.
    pub(super) golden: usize,
    /// Scales of golden rows and of random ones, by output and column.
    scales: [Vec<Vec<f64>>; 2],
}

/// A value in which two results of a row differ by more than 1e-6 + 1e-5 of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Difference {
    /// Index of the output.
    pub(super) output: usize,
    /// Index of its column.
    pub(super) column: usize,
    /// The difference; infinite for values that are not numbers.
    pub(super) amount: f64,
    /// The larger of the expected value and the column's scale.
    pub(super) scale: f64,
}

impl Difference {
    /// Returns the amount relative to the scale.
    pub(super) fn relative(&self) -> f64 {
        match self.amount.is_finite() && self.scale > 0.0 {
            true => self.amount / self.scale,
            false => f64::INFINITY,
        }
    }

    /// Returns whether it exceeds this tolerance, relative to the scale.
    pub(super) fn exceeds(&self, tolerance: Tolerance) -> bool {
        // Also true for NaN.
        let allowed = tolerance.atol + tolerance.rtol * self.scale;
        self.amount.is_nan() || allowed.is_nan() || self.amount > allowed
    }
}

impl<'a> Judge<'a> {
    /// `golden`: number of golden rows among the rows alone; they come first.
    pub(super) fn new(signature: &'a Signature, alone: &'a OutputBatch, golden: usize) -> Self {
        let groups = [0..golden, golden..alone.rows];
        let scales = groups.map(|rows| {
            let pairs = signature.outputs.iter().zip(&alone.outputs);
            pairs
                .map(|(output, data)| scales(output, data, rows.clone()))
                .collect()
        });
        Self {
            signature,
            alone,
            golden,
            scales,
        }
    }

    /// Returns the differences between two results of `row`; `expected` is the reference.
    pub(super) fn differences(
        &self,
        (got, i): (&OutputBatch, usize),
        (expected, j): (&OutputBatch, usize),
        row: usize,
    ) -> Vec<Difference> {
        let usual = Tolerance::default();
        let scales = &self.scales[usize::from(row >= self.golden)];
        let mut found = Vec::new();
        for (o, output) in self.signature.outputs.iter().enumerate() {
            let width = output.width();
            let (a, b) = (&got.outputs[o], &expected.outputs[o]);
            for (k, usual_size) in scales[o].iter().enumerate().take(width) {
                let (at, of) = (i * width + k, j * width + k);
                if usual.same(a, at, b, of)
                    || (is_label(a, width) && self.ties(o, (got, i), (expected, j)))
                {
                    continue;
                }
                let (amount, scale) = match (float(a, at), float(b, of)) {
                    (Some(a), Some(b)) if (a - b).is_finite() => {
                        ((a - b).abs(), usual_size.max(b.abs()))
                    }
                    _ => (f64::INFINITY, 1.0),
                };
                found.push(Difference {
                    output: o,
                    column: k,
                    amount,
                    scale,
                });
            }
        }
        found
    }

    /// Formats a difference for people.
    pub(super) fn text(
        &self,
        difference: &Difference,
        (got, i): (&OutputBatch, usize),
        (expected, j): (&OutputBatch, usize),
    ) -> String {
        let output = &self.signature.outputs[difference.output];
        let (width, k) = (output.width(), difference.column);
        format!(
            "`{}` is {}, not {}",
            column_name(output, k),
            format_value(&got.outputs[difference.output], i * width + k),
            format_value(&expected.outputs[difference.output], j * width + k)
        )
    }

    /// Returns whether the scores that decide a label are closer than four times their rounding.
    fn ties(
        &self,
        label: usize,
        (got, i): (&OutputBatch, usize),
        (expected, j): (&OutputBatch, usize),
    ) -> bool {
        let moved = |output: usize, column: usize| {
            let width = self.signature.outputs[output].width();
            let a = float(&got.outputs[output], i * width + column);
            let b = float(&expected.outputs[output], j * width + column);
            a.zip(b).map_or(0.0, |(a, b)| 4.0 * (a - b).abs())
        };
        let usual = Tolerance::default();
        usual.ties(self.signature, label, got, i, &moved)
            || usual.ties(self.signature, label, expected, j, &moved)
    }
}

/// Returns the root mean square of each column over these rows; 1 for probabilities.
fn scales(output: &Output, data: &TensorData, rows: std::ops::Range<usize>) -> Vec<f64> {
    let width = output.width();
    if is_simplex(output, data) {
        return vec![1.0; width];
    }
    let column = |k: usize| {
        let values = rows
            .clone()
            .filter_map(|row| float(data, row * width + k))
            .filter(|value| value.is_finite());
        root_mean_square(values)
    };
    (0..width).map(column).collect()
}

/// Returns 0 for no values.
pub(super) fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let (count, squares) = values.fold((0_usize, 0.0), |(count, squares), value| {
        (count + 1, squares + value * value)
    });
    (squares / count.max(1) as f64).sqrt()
}

/// Returns `probabilities[1]`, or only the name if there is one value per row.
pub(super) fn column_name(output: &Output, offset: usize) -> String {
    match output.width() {
        1 => output.public_name.clone(),
        _ => format!("{}[{offset}]", output.public_name),
    }
}

/// Formats a value for people.
pub(super) fn format_value(data: &TensorData, at: usize) -> String {
    match data {
        TensorData::String(values) => format!("{:?}", &values[at]),
        _ => crate::each_tensor!(data, values => format!("{:?}", &values[at])),
    }
}

/// Returns a warning if a label is never the class of the largest score, over eight rows or more:
/// the scores have each other's names (ONNX Runtime does this to the binary SVC of scikit-learn).
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
            _ => format_value(labels, row),
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
            "label_disagrees: `{}` is never the class of the largest of `{}`; the names of the scores may be swapped",
            label.public_name, scores.public_name
        )
    })
}

/// Returns whether all accepted rows of an output are in [0, 1] and sum to 1, both within 1e-3.
/// Rows with a NaN are ignored.
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
