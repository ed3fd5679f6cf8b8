//! The values of the messages: raw or typed.

use super::generated::{
    InferTensorContents, ModelInferRequest, infer_parameter::ParameterChoice,
    model_infer_request::InferRequestedOutputTensor,
};
use crate::{
    domain::{model::tensor::TensorData, problem::Problem},
    serve::{
        error::ApiError,
        oip::{
            datatype::Datatype,
            inputs::{GivenData, GivenTensor},
            values::Values,
        },
    },
};

/// Returns the input tensors of a request.
///
/// # Errors
/// 400: raw contents of another number than inputs, or beside typed ones; contents in the field of
/// another type.
pub fn tensors(request: &ModelInferRequest) -> Result<Vec<GivenTensor<'_>>, ApiError> {
    let raw = &request.raw_input_contents;
    if !raw.is_empty() && raw.len() != request.inputs.len() {
        let (raw, inputs) = (raw.len(), request.inputs.len());
        let message = format!("{raw} raw contents for {inputs} input(s)");
        return Err(ApiError::bad(
            Problem::new("oip.data", message).at("raw_input_contents"),
        ));
    }
    let inputs = request.inputs.iter().enumerate();
    inputs
        .map(|(at, input)| {
            let refused = |message: String| {
                let problem = Problem::new("oip.data", message);
                ApiError::bad(problem.at(format!("inputs[{at}].contents")))
            };
            let data = match (raw.get(at), &input.contents) {
                (Some(bytes), None) => GivenData::Raw(bytes),
                (Some(bytes), Some(contents)) if fields(contents).is_empty() => {
                    GivenData::Raw(bytes)
                }
                (Some(_), Some(_)) => {
                    return Err(refused("both contents and raw_input_contents".to_owned()));
                }
                (None, None) => return Err(refused("no contents".to_owned())),
                (None, Some(contents)) => {
                    GivenData::Typed(typed(contents, &input.datatype).map_err(refused)?)
                }
            };
            Ok(GivenTensor {
                name: &input.name,
                datatype: &input.datatype,
                shape: &input.shape,
                data,
            })
        })
        .collect()
}

/// Returns whether classes are asked for instead of values.
pub fn is_classification(output: &InferRequestedOutputTensor) -> bool {
    let parameter = output.parameters.get("classification");
    parameter.is_some_and(|parameter| {
        !matches!(
            parameter.parameter_choice,
            None | Some(ParameterChoice::Int64Param(0))
        )
    })
}

/// The names of the fields that have values.
fn fields(contents: &InferTensorContents) -> Vec<&'static str> {
    let all = [
        ("bool_contents", contents.bool_contents.is_empty()),
        ("int_contents", contents.int_contents.is_empty()),
        ("int64_contents", contents.int64_contents.is_empty()),
        ("uint_contents", contents.uint_contents.is_empty()),
        ("uint64_contents", contents.uint64_contents.is_empty()),
        ("fp32_contents", contents.fp32_contents.is_empty()),
        ("fp64_contents", contents.fp64_contents.is_empty()),
        ("bytes_contents", contents.bytes_contents.is_empty()),
    ];
    let filled = all.into_iter().filter(|(_, is_empty)| !is_empty);
    filled.map(|(name, _)| name).collect()
}

/// Returns the values of the field that belongs to a data type.
fn typed<'a>(contents: &'a InferTensorContents, datatype: &str) -> Result<Values<'a>, String> {
    use Datatype as Type;
    let (field, values) = match Datatype::named(datatype) {
        Some(Type::Bool) => ("bool_contents", Values::Bools(&contents.bool_contents)),
        Some(Type::Int8 | Type::Int16 | Type::Int32) => {
            ("int_contents", Values::Ints(&contents.int_contents))
        }
        Some(Type::Int64) => ("int64_contents", Values::Longs(&contents.int64_contents)),
        Some(Type::Uint8 | Type::Uint16 | Type::Uint32) => {
            ("uint_contents", Values::Uints(&contents.uint_contents))
        }
        Some(Type::Uint64) => ("uint64_contents", Values::Ulongs(&contents.uint64_contents)),
        Some(Type::Fp32) => ("fp32_contents", Values::Floats(&contents.fp32_contents)),
        Some(Type::Fp64) => ("fp64_contents", Values::Doubles(&contents.fp64_contents)),
        Some(Type::Bytes) => ("bytes_contents", Values::Texts(&contents.bytes_contents)),
        Some(Type::Fp16) => return Err("FP16 has no contents; send it raw".to_owned()),
        // The name is refused where all others are.
        None => return Ok(Values::Bools(&[])),
    };
    match fields(contents).iter().find(|filled| **filled != field) {
        Some(other) => Err(format!("{datatype} belongs into {field}, not {other}")),
        None => Ok(values),
    }
}

/// Returns the typed contents of an output; `None` for `FP16`, which has none.
pub fn contents(data: &TensorData) -> Option<InferTensorContents> {
    let mut contents = InferTensorContents::default();
    match data {
        TensorData::Float16(_) => return None,
        TensorData::Float(values) => contents.fp32_contents.clone_from(values),
        TensorData::Double(values) => contents.fp64_contents.clone_from(values),
        TensorData::Int32(values) => contents.int_contents.clone_from(values),
        TensorData::Int64(values) => contents.int64_contents.clone_from(values),
        TensorData::Bool(values) => contents.bool_contents.clone_from(values),
        TensorData::String(values) => {
            contents.bytes_contents = values.iter().map(|text| text.as_bytes().to_vec()).collect();
        }
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::{super::generated::model_infer_request::InferInputTensor, *};

    fn request(
        datatype: &str,
        contents: Option<InferTensorContents>,
        raw: &[&'static [u8]],
    ) -> ModelInferRequest {
        ModelInferRequest {
            inputs: vec![InferInputTensor {
                name: "x".to_owned(),
                datatype: datatype.to_owned(),
                shape: vec![1],
                contents,
                ..InferInputTensor::default()
            }],
            raw_input_contents: raw.iter().map(|raw| (*raw).into()).collect(),
            ..ModelInferRequest::default()
        }
    }

    #[test]
    fn values_are_raw_or_in_the_field_of_their_type() {
        let floats = || InferTensorContents {
            fp32_contents: vec![1.0],
            ..InferTensorContents::default()
        };
        let empty = || Some(InferTensorContents::default());
        for request in [
            request("FP32", Some(floats()), &[]),
            request("FP32", None, &[&[0, 0, 0, 0]]),
            request("FP32", empty(), &[&[0, 0, 0, 0]]),
        ] {
            assert!(tensors(&request).is_ok(), "{request:?}");
        }
        for (request, expected) in [
            (
                request("FP64", Some(floats()), &[]),
                "inputs[0].contents: FP64 belongs into fp64_contents, not fp32_contents",
            ),
            (
                request("FP16", Some(floats()), &[]),
                "inputs[0].contents: FP16 has no contents; send it raw",
            ),
            (
                request("FP32", Some(floats()), &[&[0, 0, 0, 0]]),
                "inputs[0].contents: both contents and raw_input_contents",
            ),
            (
                request("FP32", None, &[]),
                "inputs[0].contents: no contents",
            ),
            (
                request("FP32", None, &[&[], &[]]),
                "raw_input_contents: 2 raw contents for 1 input(s)",
            ),
        ] {
            assert_eq!(tensors(&request).unwrap_err().line(), expected);
        }
    }

    #[test]
    fn outputs_are_in_the_field_of_their_type() {
        let texts = contents(&TensorData::String(["a", "ö"].into())).unwrap();
        assert_eq!(texts.bytes_contents, [b"a".to_vec(), "ö".into()]);
        assert_eq!(fields(&texts), ["bytes_contents"]);
        let data = TensorData::Int64(vec![i64::MAX]);
        assert_eq!(fields(&contents(&data).unwrap()), ["int64_contents"]);
        assert!(contents(&TensorData::Float16(Vec::new())).is_none());
    }
}
