//! When two predictions are considered equal.
//!
//! Bits depend on batch size, threads and processor, so outputs are never hashed for comparison:
//! equal means |a - b| <= 1e-6 + 1e-5 |b|, plus the rounding that admission observed for the output
//! ([`Output::rounding`]). A label may differ only if the scores that decide it tie.
//!
//! [`Output::rounding`]: super::Output::rounding

use half::f16;
use serde::{Deserialize, Serialize};

use super::tensor::{OutputBatch, TensorData};
use crate::domain::model::Signature;

/// The tolerance |got - expected| <= atol + rtol |expected|.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            rtol: 1e-5,
            atol: 1e-6,
        }
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:e} + {:e} |expected|", self.atol, self.rtol)
    }
}

impl Tolerance {
    /// Returns whether two numbers are equal; NaN equals NaN, an infinity only itself.
    pub fn close(&self, got: f64, expected: f64) -> bool {
        self.close_within(got, expected, 0.0)
    }

    /// Does the same where rounding alone may move a number by `rounding`.
    pub fn close_within(&self, got: f64, expected: f64, rounding: f64) -> bool {
        got == expected
            || (got.is_nan() && expected.is_nan())
            || (got - expected).abs() <= self.atol + self.rtol * expected.abs() + rounding
                && expected.is_finite()
    }

    /// Returns whether two values of tensors of the same element type are equal. Numbers of 16 bits
    /// may also be neighbours: their unit in the last place is 1e-3, and their rounding depends on
    /// float32 digits that are not stored.
    pub fn same(&self, got: &TensorData, i: usize, expected: &TensorData, j: usize) -> bool {
        match (got, expected) {
            (TensorData::Float16(a), TensorData::Float16(b)) => {
                self.close(a[i].to_f64(), b[j].to_f64()) || neighbours(a[i], b[j])
            }
            (TensorData::Float(a), TensorData::Float(b)) => self.close(a[i].into(), b[j].into()),
            (TensorData::Double(a), TensorData::Double(b)) => self.close(a[i], b[j]),
            (TensorData::Int32(a), TensorData::Int32(b)) => a[i] == b[j],
            (TensorData::Int64(a), TensorData::Int64(b)) => a[i] == b[j],
            (TensorData::Bool(a), TensorData::Bool(b)) => a[i] == b[j],
            (TensorData::String(a), TensorData::String(b)) => a[i] == b[j],
            _ => false,
        }
    }

    /// Returns whether the label at output `label` is undecided in this row: the scores that decide
    /// it are as close as rounding may make them. Other outputs do not matter.
    pub fn label_ties(
        &self,
        signature: &Signature,
        label: usize,
        batch: &OutputBatch,
        row: usize,
    ) -> bool {
        self.ties(signature, label, batch, row, &|output, column| {
            signature.outputs[output].rounding(column)
        })
    }

    /// Does the same with a rounding by output and column that is not in the signature yet.
    pub fn ties(
        &self,
        signature: &Signature,
        label: usize,
        batch: &OutputBatch,
        row: usize,
        rounding: &dyn Fn(usize, usize) -> f64,
    ) -> bool {
        let Some(decided) = signature.decided_by(label) else {
            return false;
        };
        let at = decided.output;
        let width = signature.outputs[at].width();
        let scores = (0..width).map(|k| float(&batch.outputs[at], row * width + k));
        let Some(scores) = scores.collect::<Option<Vec<f64>>>() else {
            return false;
        };
        if let Some(threshold) = decided.threshold {
            return self.close_within(scores[0], threshold, rounding(at, 0));
        }
        let mut best: Vec<usize> = (0..width).collect();
        best.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        match best.as_slice() {
            [first, second, ..] => self.close_within(
                scores[*first],
                scores[*second],
                rounding(at, *first) + rounding(at, *second),
            ),
            _ => false,
        }
    }
}

/// Returns whether each row has one value that is not a float: the decision of a classifier.
pub fn is_label(data: &TensorData, width: usize) -> bool {
    width == 1 && float_kind(data).is_none()
}

/// Returns the value at `index` of a tensor of floats of any size.
pub fn float(data: &TensorData, index: usize) -> Option<f64> {
    match data {
        TensorData::Float16(values) => Some(values[index].to_f64()),
        TensorData::Float(values) => Some(values[index].into()),
        TensorData::Double(values) => Some(values[index]),
        _ => None,
    }
}

fn float_kind(data: &TensorData) -> Option<()> {
    matches!(
        data,
        TensorData::Float16(_) | TensorData::Float(_) | TensorData::Double(_)
    )
    .then_some(())
}

/// Returns whether no float16 is between the two.
pub fn neighbours(a: f16, b: f16) -> bool {
    // Maps sign and magnitude to consecutive integers; both zeros are 0.
    let place = |x: f16| {
        let bits = i32::from(x.to_bits() & 0x7fff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    !a.is_nan() && !b.is_nan() && (place(a) - place(b)).abs() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{DecidedBy, Output, tensor::Element};

    fn signature() -> Signature {
        let output = |name: &str, element, dims: &[usize]| Output {
            name: name.to_owned(),
            public_name: name.to_owned(),
            element,
            dims: dims.to_vec(),
            simplex: false,
            classes: None,
            observed: Default::default(),
        };
        Signature {
            inputs: Vec::new(),
            outputs: vec![
                output("label", Element::Int64, &[]),
                output("scores", Element::Float, &[2]),
            ],
            fixed_batch: None,
        }
    }

    fn row(scores: [f32; 2]) -> OutputBatch {
        OutputBatch {
            rows: 1,
            outputs: vec![
                TensorData::Int64(vec![0]),
                TensorData::Float(scores.to_vec()),
            ],
        }
    }

    #[test]
    fn numbers_are_the_same_within_the_tolerance() {
        let usual = Tolerance::default();
        assert!(usual.close(0.300_003, 0.3) && !usual.close(0.300_006, 0.3));
        assert!(usual.close(f64::NAN, f64::NAN) && !usual.close(1.0, f64::NAN));
        assert!(usual.close(f64::INFINITY, f64::INFINITY));
        assert!(!usual.close(1.0, f64::INFINITY) && !usual.close(f64::NEG_INFINITY, f64::INFINITY));
    }

    fn ties(signature: &Signature, row: &OutputBatch) -> bool {
        Tolerance::default().label_ties(signature, 0, row, 0)
    }

    fn decided(threshold: Option<f64>) -> Signature {
        let mut signature = signature();
        signature.outputs[0].observed.decided_by = Some(DecidedBy {
            output: 1,
            threshold,
        });
        signature
    }

    #[test]
    fn a_label_is_a_toss_up_only_where_the_scores_that_decide_it_tie() {
        let largest = decided(None);
        assert!(ties(&largest, &row([0.499_999_9, 0.500_000_1])));
        assert!(!ties(&largest, &row([0.6, 0.4])));
        // Without a relation nothing excuses a label: an embedding after ReLU is often (0, 0).
        assert!(!ties(&signature(), &row([0.0, 0.0])));
    }

    #[test]
    fn a_label_by_threshold_is_a_toss_up_at_this_threshold_only() {
        let mut half = decided(Some(0.5));
        half.outputs[1].dims = vec![1];
        let score = |score: f32| OutputBatch {
            rows: 1,
            outputs: vec![TensorData::Int64(vec![1]), TensorData::Float(vec![score])],
        };
        assert!(ties(&half, &score(0.5)));
        assert!(
            !ties(&half, &score(0.0)),
            "a probability of 0 is no toss-up"
        );
    }

    #[test]
    fn rounding_that_admission_saw_is_allowed_four_times() {
        let mut noisy = decided(None);
        noisy.outputs[1].observed.rounding = vec![0.125, 0.125];
        assert!(ties(&noisy, &row([10.0, 9.1])) && !ties(&noisy, &row([10.0, 8.9])));
        let usual = Tolerance::default();
        assert!(usual.close_within(5336.375, 5336.25, noisy.outputs[1].rounding(0)));
        assert!(!usual.close_within(5337.0, 5336.25, noisy.outputs[1].rounding(0)));
    }

    #[test]
    fn float16_may_be_off_by_one_unit_in_the_last_place() {
        let one = f16::ONE;
        let next = f16::from_bits(one.to_bits() + 1);
        assert!(neighbours(one, next) && neighbours(f16::NEG_ZERO, f16::ZERO));
        assert!(!neighbours(one, f16::from_bits(one.to_bits() + 2)));
        assert!(!neighbours(f16::from_f32(0.5), f16::from_f32(-0.5)));
    }
}
