//! Further findings of trial rows: outputs that differ from their declaration, or that are always
//! NaN.

use super::session::Declared;
use crate::domain::{
    model::{Output, Signature, golden::Expected, tensor::OutputBatch, tolerance::float},
    problem::Problem,
};

/// Option that accepts a version with such outputs.
pub const SHAPE_DIFFERS: &str = "shape_differs";
const CODE: &str = "model.shape_differs";

/// Compares the declared shapes of outputs with the actual ones. Returns warnings, or an error if a
/// row has more or fewer values than declared and golden rows do not show that all are right.
///
/// # Errors
/// `model.shape_differs`.
pub(super) fn shapes(
    declared: &Declared,
    signature: &Signature,
    golden: &[Expected],
    is_accepted: bool,
) -> Result<Vec<String>, Vec<Problem>> {
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    for (at, output) in signature.outputs.iter().enumerate() {
        let declared = declared.iter().find(|(name, _)| *name == output.name);
        let Some((_, Ok((_, declared)))) = declared else {
            continue;
        };
        let Some(differs) = differing(declared, output, signature.fixed_batch) else {
            continue;
        };
        let message = format!(
            "output `{}` is declared as {}, but is {}",
            output.public_name,
            declared_shape(declared),
            actual(output),
        );
        let is_shown = (0..output.width()).all(|offset| {
            let mut columns = golden.iter();
            columns.any(|column| column.output == at && column.offset == offset)
        });
        if differs == Differs::Width && !is_shown && !is_accepted {
            problems.push(Problem::new(CODE, message).help(format!(
                "give golden rows with this output's columns (--golden FILE), or --accept {SHAPE_DIFFERS} if the outputs are right; the exporter may have lost values"
            )));
        } else {
            warnings.push(format!("{CODE}: {message}"));
        }
    }
    if problems.is_empty() {
        return Ok(warnings);
    }
    Err(problems)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// Same number of values per row, but another form.
    Form,
    /// Another number of values per row.
    Width,
}

/// Compares the shapes. A first dimension of 1 is common in exports although there is one row per
/// input row; for a fixed batch it is ignored.
fn differing(declared: &[i64], output: &Output, fixed_batch: Option<usize>) -> Option<Differs> {
    // For ONNX Runtime, a scalar and an unknown shape are the same.
    let (first, row) = declared.split_first()?;
    let same = |(declared, actual): (&i64, &usize)| {
        *declared < 0 || usize::try_from(*declared) == Ok(*actual)
    };
    let is_open = *first < 2 || fixed_batch.is_some();
    if row.len() == output.dims.len() && row.iter().zip(&output.dims).all(same) {
        return (!is_open).then_some(Differs::Form);
    }
    if row.iter().any(|dim| *dim < 0) && row.len() == output.dims.len() {
        return Some(Differs::Width);
    }
    let width = row.iter().try_fold(1_i64, |width, dim| {
        (*dim >= 0).then(|| width.saturating_mul(*dim))
    });
    match width {
        // Another rank, with a dimension that is not fixed.
        None => Some(Differs::Form),
        Some(width) if usize::try_from(width) == Ok(output.width()) => Some(Differs::Form),
        Some(_) => Some(Differs::Width),
    }
}

fn declared_shape(declared: &[i64]) -> String {
    let dims = declared.iter().map(|dim| match dim {
        dim if *dim < 0 => "N".to_owned(),
        dim => dim.to_string(),
    });
    format!("{{{}}}", dims.collect::<Vec<_>>().join(","))
}

fn actual(output: &Output) -> String {
    let dims: String = output.dims.iter().map(|dim| format!(",{dim}")).collect();
    format!("{{N{dims}}}")
}

/// Returns warnings about outputs that are NaN for every trial row: such rows are rejected, so
/// nothing would be stored.
pub(super) fn nothing_but_nan(signature: &Signature, answers: &OutputBatch) -> Vec<String> {
    let outputs = signature.outputs.iter().zip(&answers.outputs);
    let is_nan = |data: &crate::domain::model::tensor::TensorData| {
        !data.is_empty() && (0..data.len()).all(|at| float(data, at).is_some_and(f64::is_nan))
    };
    outputs
        .filter(|(_, data)| is_nan(data))
        .map(|(output, _)| {
            format!(
                "all_nan: output `{}` is NaN for each of {} trial rows; rows with NaN outputs are rejected",
                output.public_name, answers.rows
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::trial::unseen, *};
    use crate::domain::model::tensor::TensorData;

    fn output(dims: &[usize]) -> Output {
        Output {
            dims: dims.to_vec(),
            ..unseen("y", "y")
        }
    }

    #[test]
    fn a_row_of_another_width_is_told_from_another_form() {
        for (declared, dims, wanted) in [
            // Unknown, as declared, and LightGBM's label.
            (vec![], vec![3], None),
            (vec![-1, 3], vec![3], None),
            (vec![-1, -1], vec![3], None),
            (vec![1], vec![], None),
            (vec![1, 2], vec![2], None),
            // A fixed number of rows that is not kept.
            (vec![5, 2], vec![2], Some(Differs::Form)),
            // A column, or a row's only value.
            (vec![-1, 1], vec![], Some(Differs::Form)),
            (vec![-1], vec![1], Some(Differs::Form)),
            // XGBoost with several targets.
            (vec![-1, 1], vec![3], Some(Differs::Width)),
            (vec![-1], vec![3], Some(Differs::Width)),
        ] {
            let differs = differing(&declared, &output(&dims), None);
            assert_eq!(differs, wanted, "{declared:?} {dims:?}");
        }
        assert_eq!(differing(&[5, 2], &output(&[2]), Some(5)), None);
    }

    #[test]
    fn only_an_output_of_nothing_but_nan_is_told() {
        let signature = Signature {
            inputs: Vec::new(),
            outputs: vec![output(&[]), output(&[])],
            fixed_batch: None,
        };
        let answers = |second| OutputBatch {
            rows: 2,
            outputs: vec![
                TensorData::Float(vec![0.5, f32::NAN]),
                TensorData::Float(second),
            ],
        };
        assert_eq!(
            nothing_but_nan(&signature, &answers(vec![1.0, 2.0])),
            Vec::<String>::new()
        );
        let told = nothing_but_nan(&signature, &answers(vec![f32::NAN; 2]));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("all_nan: output `y` is NaN for each of 2 trial rows"));
    }
}
