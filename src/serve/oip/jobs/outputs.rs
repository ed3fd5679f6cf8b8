//! From the predictions of a job to the outputs of an answer.

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int32Type, Int64Type},
};

use super::signature::LINEAGE;
use crate::{
    domain::{
        model::{
            Output,
            tensor::{Element, OutputBatch, TensorData},
        },
        problem::Problem,
    },
    serve::{arrow, error::ApiError},
};

/// Rows that an error names.
const NAMED_ROWS: usize = 20;

/// Refuses a request with rows that the job rejects: the protocol has no null outputs.
///
/// # Errors
/// 400 with the first row's reason, and the numbers of the others.
pub fn check_rejected(predictions: &RecordBatch) -> Result<(), ApiError> {
    let Some(reasons) = predictions.column_by_name(arrow::REJECTED) else {
        return Ok(());
    };
    let reasons = reasons.as_string::<i32>();
    let mut rejected = (0..reasons.len()).filter(|row| reasons.is_valid(*row));
    let Some(first) = rejected.next() else {
        return Ok(());
    };
    let mut message = format!("the job rejects row {first}: {}", reasons.value(first));
    let others: Vec<_> = rejected.map(|row| row.to_string()).collect();
    if !others.is_empty() {
        let shown = others.len().min(NAMED_ROWS);
        let more = others.len() - shown;
        message.push_str(&format!("; and row(s) {}", others[..shown].join(", ")));
        if more > 0 {
            message.push_str(&format!(" and {more} more"));
        }
    }
    let problem = Problem::new("oip.rejected", message).at("inputs");
    Err(ApiError::bad(
        problem.help("send the request without these rows"),
    ))
}

/// Returns the version that answered all rows; `None` if there were several.
pub fn only_version(predictions: &RecordBatch) -> Option<i32> {
    let versions = predictions.column_by_name(arrow::VERSION)?;
    let versions = versions.as_primitive::<Int32Type>().values();
    let first = *versions.first()?;
    versions
        .iter()
        .all(|version| *version == first)
        .then_some(first)
}

/// Returns the outputs of an answer. `columns`: where the batch has the first outputs, as a column of
/// the job may be named like one of lineage; the others are of lineage.
///
/// # Errors
/// An output is not a tensor of its type.
pub fn batch(
    predictions: &RecordBatch,
    outputs: &[Output],
    columns: &[usize],
) -> Result<OutputBatch, String> {
    let data = outputs.iter().enumerate().map(|(at, output)| {
        let found = match columns.get(at) {
            Some(column) => predictions.columns().get(*column),
            None => output
                .public_name
                .strip_prefix(LINEAGE)
                // The first column of this name, which is lineage's.
                .and_then(|name| predictions.column_by_name(name)),
        };
        found
            .and_then(|array| tensor(output, array))
            .ok_or_else(|| {
                format!(
                    "output `{}` is not a tensor of its type",
                    output.public_name
                )
            })
    });
    Ok(OutputBatch {
        rows: predictions.num_rows(),
        outputs: data.collect::<Result<_, _>>()?,
    })
}

/// Returns the values of an array; `None` if they are of another type, or one is null.
fn tensor(output: &Output, array: &ArrayRef) -> Option<TensorData> {
    let element = output.element;
    if output.public_name.starts_with(LINEAGE) && element == Element::String {
        // A row may be in no arm.
        let texts = array.as_string_opt::<i32>()?.iter();
        let texts = texts.map(Option::unwrap_or_default);
        return Some(TensorData::String(texts.collect()));
    }
    if array.null_count() > 0 {
        return None;
    }
    Some(match (element, output.dims.as_slice()) {
        (Element::Float, []) => {
            TensorData::Float(array.as_primitive_opt::<Float32Type>()?.values().to_vec())
        }
        (Element::Float, [width]) => {
            let vectors = array.as_fixed_size_list_opt()?;
            let values = vectors.values().as_primitive_opt::<Float32Type>()?.values();
            (values.len() == vectors.len() * width).then_some(())?;
            TensorData::Float(values.to_vec())
        }
        (Element::Double, []) => {
            TensorData::Double(array.as_primitive_opt::<Float64Type>()?.values().to_vec())
        }
        (Element::Int32, []) => {
            TensorData::Int32(array.as_primitive_opt::<Int32Type>()?.values().to_vec())
        }
        (Element::Int64, []) => {
            TensorData::Int64(array.as_primitive_opt::<Int64Type>()?.values().to_vec())
        }
        (Element::Bool, []) => {
            let values = array.as_boolean_opt()?.values();
            TensorData::Bool(values.iter().collect())
        }
        (Element::String, []) => {
            let texts = array.as_string_opt::<i32>()?.iter().flatten();
            TensorData::String(texts.collect())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float32Array, Int32Array, StringArray};

    use super::*;
    use crate::domain::model::Observed;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from_iter(values))
    }

    fn numbers(values: &[Option<f32>]) -> ArrayRef {
        Arc::new(values.iter().collect::<Float32Array>())
    }

    fn output(name: &str, element: Element) -> Output {
        Output {
            name: name.to_owned(),
            public_name: name.to_owned(),
            element,
            dims: Vec::new(),
            simplex: false,
            classes: None,
            observed: Observed::default(),
        }
    }

    /// Predictions with the columns of lineage, and a column of the job named like one of them.
    fn predictions(
        rejected: &[Option<&str>],
        arms: &[Option<&str>],
        score: ArrayRef,
    ) -> RecordBatch {
        let versions: Int32Array = (1..).take(arms.len()).map(Some).collect();
        RecordBatch::try_from_iter_with_nullable([
            (arrow::VERSION, Arc::new(versions) as ArrayRef, true),
            (arrow::REJECTED, texts(rejected), true),
            (arrow::ARM, texts(arms), true),
            (arrow::ARM, score, true),
        ])
        .unwrap()
    }

    #[test]
    fn columns_are_found_by_place_and_lineage_by_name() {
        let scores = numbers(&[Some(0.5), Some(f32::NAN)]);
        let predictions = predictions(&[None, None], &[Some("e/a"), None], scores);
        let outputs = [
            output("arm", Element::Float),
            output("lineage.arm", Element::String),
            output("lineage.version", Element::Int32),
        ];
        let batch = batch(&predictions, &outputs, &[3]).unwrap();
        assert_eq!(batch.rows, 2);
        let TensorData::Float(scores) = &batch.outputs[0] else {
            panic!("{:?}", batch.outputs);
        };
        assert!(scores[0] == 0.5 && scores[1].is_nan());
        assert_eq!(batch.outputs[1], TensorData::String(["e/a", ""].into()));
        assert_eq!(batch.outputs[2], TensorData::Int32(vec![1, 2]));
        assert_eq!(only_version(&predictions), None);
    }

    #[test]
    fn an_output_of_another_type_or_without_a_value_is_an_error() {
        for (element, score) in [
            (Element::Float, numbers(&[None])),
            (Element::Double, numbers(&[Some(1.0)])),
            (Element::String, texts(&[None])),
            (Element::Bool, texts(&[Some("true")])),
        ] {
            let predictions = predictions(&[None], &[None], score);
            let outputs = [output("score", element)];
            let error = batch(&predictions, &outputs, &[3]).unwrap_err();
            assert_eq!(error, "output `score` is not a tensor of its type");
        }
    }

    #[test]
    fn rejected_rows_are_named_with_the_first_reason() {
        let line = |rejected: &[Option<&str>]| {
            let arms = vec![None; rejected.len()];
            let scores = numbers(&vec![None; rejected.len()]);
            let checked = check_rejected(&predictions(rejected, &arms, scores));
            checked.map_err(|error| error.line())
        };
        assert_eq!(line(&[None, None]), Ok(()));
        let one = "inputs: the job rejects row 1: null: `x` (send the request without these rows)";
        assert_eq!(line(&[None, Some("null: `x`")]), Err(one.to_owned()));
        let many = line(&[Some("null"); 25]).unwrap_err();
        assert!(many.contains("row 0: null; and row(s) 1, 2, 3"), "{many}");
        assert!(many.contains("19, 20 and 4 more (send"), "{many}");
    }
}
