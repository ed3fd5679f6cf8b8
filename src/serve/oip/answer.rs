//! The answer to an inference request, as JSON or with binary data.
//!
//! JSON has no NaN and no infinities: they are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`,
//! as in the JSON form of protobuf. numpy, and so the Python clients, read these as floats.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{binary, datatype::Datatype, request::HEADER_LENGTH};
use crate::{
    domain::model::{
        Output, Signature,
        tensor::{OutputBatch, TensorData},
    },
    serve::error::ApiError,
};

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead<'a> {
    pub model: &'a str,
    /// `None`: rows have different versions.
    pub version: Option<i32>,
    /// The request's id.
    pub id: Option<&'a str>,
}

/// An output of the answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerOutput {
    /// Index in the signature.
    pub index: usize,
    pub is_binary: bool,
}

/// The answer to an inference request.
#[derive(Serialize, utoipa::ToSchema)]
pub struct InferAnswer<'a> {
    model_name: &'a str,
    /// Missing if rows have different versions in an experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<OutputTensor<'a>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct OutputTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    /// The values, flat; NaN and the infinities as text. Missing if they follow as binary data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    data: Option<JsonValues<'a>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct BinarySize {
    binary_data_size: usize,
}

/// Returns the shape of an output with its rows.
pub fn shape(output: &Output, rows: usize) -> Vec<usize> {
    std::iter::once(rows).chain(output.dims.clone()).collect()
}

/// Writes the answer.
///
/// # Errors
/// 500 if it cannot be written as JSON.
pub fn write(
    head: AnswerHead<'_>,
    signature: &Signature,
    batch: &OutputBatch,
    outputs: &[AnswerOutput],
) -> Result<Response, ApiError> {
    let mut bytes = Vec::new();
    let mut tensors = Vec::with_capacity(outputs.len());
    for AnswerOutput { index, is_binary } in outputs {
        let (output, data) = (&signature.outputs[*index], &batch.outputs[*index]);
        let before = bytes.len();
        if *is_binary {
            binary::encode(data, &mut bytes);
        }
        tensors.push(OutputTensor {
            name: &output.public_name,
            datatype: Datatype::from_element(output.element).as_str(),
            shape: shape(output, batch.rows),
            parameters: is_binary.then(|| BinarySize {
                binary_data_size: bytes.len() - before,
            }),
            data: (!is_binary).then_some(JsonValues(data)),
        });
    }
    let answer = InferAnswer {
        model_name: head.model,
        model_version: head.version.map(|version| version.to_string()),
        id: head.id,
        outputs: tensors,
    };
    let mut body = serde_json::to_vec(&answer).map_err(|error| {
        ApiError::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            crate::domain::problem::Problem::new("oip.answer", error.to_string()),
        )
    })?;
    if !outputs.iter().any(|output| output.is_binary) {
        return Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    let length = HeaderValue::from(body.len());
    body.extend_from_slice(&bytes);
    let kind = HeaderValue::from_static("application/octet-stream");
    let headers = [(header::CONTENT_TYPE, kind), (HEADER_LENGTH, length)];
    Ok((headers, body).into_response())
}

/// All values of a tensor as one flat array.
struct JsonValues<'a>(&'a TensorData);

impl Serialize for JsonValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(self.0.len()))?;
        macro_rules! floats {
            ($values:expr) => {
                for value in $values {
                    match special(f64::from(*value)) {
                        Some(word) => array.serialize_element(word)?,
                        None => array.serialize_element(value)?,
                    }
                }
            };
        }
        macro_rules! plain {
            ($values:expr) => {
                for value in $values {
                    array.serialize_element(value)?;
                }
            };
        }
        match self.0 {
            TensorData::Float16(values) => {
                let values: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
                floats!(&values);
            }
            TensorData::Float(values) => floats!(values),
            TensorData::Double(values) => floats!(values),
            TensorData::Int32(values) => plain!(values),
            TensorData::Int64(values) => plain!(values),
            TensorData::Bool(values) => plain!(values),
            TensorData::String(values) => plain!(values.iter()),
        }
        array.end()
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        return None;
    }
    Some(match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    })
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_value_is_written_with_all_its_digits() {
        for (data, expected) in [
            (
                TensorData::Float(vec![0.1, 1.0, f32::NAN, f32::NEG_INFINITY]),
                r#"[0.1,1.0,"NaN","-Infinity"]"#,
            ),
            (
                TensorData::Double(vec![0.1 + 0.2, f64::INFINITY]),
                r#"[0.30000000000000004,"Infinity"]"#,
            ),
            (
                TensorData::Float16(vec![f16::from_f32(0.1), f16::NAN]),
                r#"[0.099975586,"NaN"]"#,
            ),
            (
                TensorData::Int64(vec![i64::MIN, i64::MAX]),
                "[-9223372036854775808,9223372036854775807]",
            ),
            (TensorData::Bool(vec![true, false]), "[true,false]"),
            (TensorData::String(["a\"", "ö"].into()), r#"["a\"","ö"]"#),
        ] {
            assert_eq!(serde_json::to_string(&JsonValues(&data)).unwrap(), expected);
        }
    }
}
