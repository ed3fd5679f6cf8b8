//! When two predictions are the same.
//!
//! Bits differ by batch size, threads and processor, so outputs are never hashed for comparison:
//! equal means |a - b| <= 1e-6 + 1e-5 |b|, and a label may differ only if its best scores tie.

use half::f16;
use serde::{Deserialize, Serialize};

use super::{
    model::Signature,
    tensor::{OutputBatch, TensorData},
};

/// |got - expected| <= atol + rtol |expected|.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Relative to the expected value.
    pub rtol: f64,
    /// Absolute.
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
    /// Whether two numbers are the same; NaN equals NaN, an infinity only itself.
    pub fn close(&self, got: f64, expected: f64) -> bool {
        got == expected
            || (got.is_nan() && expected.is_nan())
            || (got - expected).abs() <= self.atol + self.rtol * expected.abs()
                && expected.is_finite()
    }

    /// Whether two values of tensors of the same element type are the same. Numbers of 16 bits may
    /// also be neighbours: their unit in the last place is 1e-3, and which way they were rounded
    /// depends on float32 digits that nobody sees.
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

    /// The first output value in which two rows differ: (output, offset in the row). A label that
    /// differs is overlooked when the best scores tie in either row.
    pub fn differing(
        &self,
        signature: &Signature,
        (got, i): (&OutputBatch, usize),
        (expected, j): (&OutputBatch, usize),
    ) -> Option<(usize, usize)> {
        let tied = std::cell::LazyCell::new(|| {
            self.scores_tie(signature, got, i) || self.scores_tie(signature, expected, j)
        });
        for (o, output) in signature.outputs.iter().enumerate() {
            let width = output.width();
            let (a, b) = (&got.outputs[o], &expected.outputs[o]);
            for k in 0..width {
                let same = self.same(a, i * width + k, b, j * width + k);
                if same || (is_label(a, width) && *tied) {
                    continue;
                }
                return Some((o, k));
            }
        }
        None
    }

    /// Whether a label of this row is a toss-up: the two best scores of some output lie within the
    /// tolerance, or its only score lies that close to the usual thresholds 0 and 1/2.
    pub fn scores_tie(&self, signature: &Signature, batch: &OutputBatch, row: usize) -> bool {
        let outputs = signature.outputs.iter().zip(&batch.outputs);
        outputs.into_iter().any(|(output, data)| {
            let width = output.width();
            let scores: Option<Vec<f64>> = (row * width..(row + 1) * width)
                .map(|at| float(data, at))
                .collect();
            match scores.as_deref() {
                None | Some([]) => false,
                Some([score]) => self.close(*score, 0.0) || self.close(*score, 0.5),
                Some(scores) => {
                    let mut scores = scores.to_vec();
                    scores.sort_by(|a, b| b.total_cmp(a));
                    self.close(scores[0], scores[1])
                }
            }
        })
    }
}

/// One value a row that is no float: what a classifier decided.
pub fn is_label(data: &TensorData, width: usize) -> bool {
    width == 1 && float_kind(data).is_none()
}

/// The value at `index` of a tensor of floats, whatever their size.
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

/// Whether no float16 lies between the two.
pub fn neighbours(a: f16, b: f16) -> bool {
    // Sign and magnitude to one line of integers on which both zeros are 0.
    let place = |x: f16| {
        let bits = i32::from(x.to_bits() & 0x7fff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    !a.is_nan() && !b.is_nan() && (place(a) - place(b)).abs() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{model::Output, tensor::Element};

    fn signature() -> Signature {
        let output = |name: &str, element, dims: &[usize]| Output {
            name: name.to_owned(),
            public_name: name.to_owned(),
            element,
            dims: dims.to_vec(),
            simplex: false,
            classes: None,
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

    fn row(label: i64, scores: [f32; 2]) -> OutputBatch {
        OutputBatch {
            rows: 1,
            outputs: vec![
                TensorData::Int64(vec![label]),
                TensorData::Float(scores.to_vec()),
            ],
        }
    }

    fn differing(a: &OutputBatch, b: &OutputBatch) -> Option<(usize, usize)> {
        Tolerance::default().differing(&signature(), (a, 0), (b, 0))
    }

    #[test]
    fn numbers_are_the_same_within_the_tolerance() {
        let usual = Tolerance::default();
        assert!(usual.close(0.300_003, 0.3) && !usual.close(0.300_006, 0.3));
        assert!(usual.close(f64::NAN, f64::NAN) && !usual.close(1.0, f64::NAN));
        assert!(usual.close(f64::INFINITY, f64::INFINITY));
        assert!(!usual.close(1.0, f64::INFINITY) && !usual.close(f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn a_label_may_differ_only_where_scores_tie() {
        assert_eq!(
            differing(&row(0, [0.5, 0.5]), &row(1, [0.499_999_9, 0.500_000_1])),
            None
        );
        assert_eq!(
            differing(&row(0, [0.6, 0.4]), &row(1, [0.6, 0.4])),
            Some((0, 0))
        );
        assert_eq!(
            differing(&row(0, [0.6, 0.4]), &row(0, [0.6, 0.41])),
            Some((1, 1))
        );
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
