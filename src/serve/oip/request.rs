//! The body of an inference request: JSON, followed by binary data if the header says so.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::inputs::{GivenData, GivenTensor};
use crate::{domain::problem::Problem, serve::error::ApiError};

/// Bytes of the JSON at the beginning of a body with binary data.
pub const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The JSON of a request. Unknown members are ignored: clients add their own.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = InferRequest)]
pub struct InferBody<'a> {
    /// Comes back with the answer.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub id: Option<Cow<'a, str>>,
    #[serde(default)]
    parameters: Option<RequestParameters>,
    #[serde(borrow)]
    inputs: Vec<InputTensor<'a>>,
    /// The outputs that are wanted; all if missing.
    #[serde(borrow, default)]
    outputs: Option<Vec<RequestedOutput<'a>>>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct RequestParameters {
    /// Whether outputs are sent as binary data.
    #[serde(default)]
    binary_data_output: Option<bool>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct InputTensor<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    /// `FP32`, `INT64`, `BYTES` and so on.
    #[serde(borrow)]
    #[schema(value_type = String)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Option<InputParameters>,
    /// The values, flat or nested; missing if they follow as binary data.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct InputParameters {
    /// Bytes of the values behind the JSON.
    #[serde(default)]
    binary_data_size: Option<usize>,
}

/// An output that the request names.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct RequestedOutput<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    parameters: Option<OutputParameters<'a>>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct OutputParameters<'a> {
    /// Whether this output is sent as binary data.
    #[serde(default)]
    binary_data: Option<bool>,
    /// Refused, unless it is 0.
    #[serde(borrow, default)]
    #[schema(value_type = Option<i64>)]
    classification: Option<&'a RawValue>,
}

impl RequestedOutput<'_> {
    /// Returns whether classes are asked for instead of values.
    pub fn is_classification(&self) -> bool {
        let parameters = self.parameters.as_ref();
        parameters
            .and_then(|parameters| parameters.classification)
            .is_some_and(|text| text.get() != "0")
    }
}

impl InferBody<'_> {
    /// Returns the outputs that are named; empty: all.
    pub fn outputs(&self) -> &[RequestedOutput<'_>] {
        self.outputs.as_deref().unwrap_or_default()
    }

    /// Returns whether an output is to be sent as binary data. `at`: its index among those named.
    pub fn is_binary(&self, at: usize) -> bool {
        let output = self.outputs().get(at);
        let own = output.and_then(|output| output.parameters.as_ref()?.binary_data);
        let all = self.parameters.as_ref();
        own.or_else(|| all?.binary_data_output).unwrap_or(false)
    }

    /// Returns the input tensors. `binary`: what follows the JSON.
    ///
    /// # Errors
    /// 400: an input without data or with two kinds of it, sizes that do not fit the body.
    pub fn tensors<'b>(&'b self, mut binary: &'b [u8]) -> Result<Vec<GivenTensor<'b>>, ApiError> {
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (at, input) in self.inputs.iter().enumerate() {
            let refused = |message: String| {
                let problem = Problem::new("oip.data", message);
                ApiError::bad(problem.at(format!("inputs[{at}]")))
            };
            let size = input.parameters.as_ref();
            let size = size.and_then(|parameters| parameters.binary_data_size);
            let data = match (input.data, size) {
                (Some(data), None) => GivenData::Json(data),
                (None, Some(size)) => {
                    let (bytes, rest) = binary.split_at_checked(size).ok_or_else(|| {
                        refused(format!(
                            "binary_data_size is {size}, and {} bytes follow",
                            binary.len()
                        ))
                    })?;
                    binary = rest;
                    GivenData::Raw(bytes)
                }
                (Some(_), Some(_)) => {
                    return Err(refused("both `data` and binary_data_size".to_owned()));
                }
                (None, None) => {
                    return Err(refused("neither `data` nor binary_data_size".to_owned()));
                }
            };
            tensors.push(GivenTensor {
                name: &input.name,
                datatype: &input.datatype,
                shape: &input.shape,
                data,
            });
        }
        match binary.len() {
            0 => Ok(tensors),
            left => Err(ApiError::bad(
                Problem::new("oip.data", format!("{left} bytes belong to no input"))
                    .at("body")
                    .help("give binary_data_size in the parameters of each binary input"),
            )),
        }
    }
}

/// Splits a body into its JSON and the binary data.
///
/// # Errors
/// 400: the header is not a number, or exceeds the body.
pub fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), ApiError> {
    let Some(length) = headers.get(HEADER_LENGTH) else {
        return Ok((body, &[]));
    };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    length
        .and_then(|length: usize| body.split_at_checked(length))
        .ok_or_else(|| {
            ApiError::bad(
                Problem::new(
                    "oip.header_length",
                    format!(
                        "it is not a length within the {} bytes of the body",
                        body.len()
                    ),
                )
                .at("Inference-Header-Content-Length")
                .help("give the bytes of the JSON, uncompressed"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<T>(answer: Result<T, ApiError>) -> String {
        answer.err().map(|error| error.line()).unwrap_or_default()
    }

    #[test]
    fn binary_data_is_handed_out_in_the_order_of_the_inputs() {
        let text = r#"{"model_name":"m","id":"7","parameters":{"binary_data_output":true,"key":"42"},
            "inputs":[{"name":"a","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}},
            {"name":"\u00f6","shape":[1],"datatype":"FP32","data":[1]},
            {"name":"c","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1,"x":null}}]}"#;
        let body: InferBody<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(body.id.as_deref(), Some("7"));
        let tensors = body.tensors(&[1, 2, 3]).unwrap();
        assert!(matches!(tensors[0].data, GivenData::Raw([1, 2])));
        assert_eq!(tensors[1].name, "ö");
        assert!(matches!(tensors[2].data, GivenData::Raw([3])));
        assert!(body.is_binary(0));
        assert_eq!(
            line(body.tensors(&[1, 2])),
            "inputs[2]: binary_data_size is 1, and 0 bytes follow"
        );
        assert!(line(body.tensors(&[1, 2, 3, 4])).starts_with("body: 1 bytes belong to no input"));
    }

    #[test]
    fn an_output_can_be_binary_or_not_whatever_the_others_are() {
        let text = r#"{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[
            {"name":"a","parameters":{"binary_data":false,"classification":2}},
            {"name":"b"},{"name":"c","parameters":{"binary_data":true}}]}"#;
        let body: InferBody<'_> = serde_json::from_str(text).unwrap();
        assert_eq!([0, 1, 2].map(|at| body.is_binary(at)), [false, true, true]);
        let classes: Vec<_> = body
            .outputs()
            .iter()
            .map(|o| o.is_classification())
            .collect();
        assert_eq!(classes, [true, false, false]);
    }

    #[test]
    fn hostile_sizes_are_refused() {
        for size in ["-1", "1e3", "99999999999999999999", "\"2\""] {
            let text = format!(
                r#"{{"inputs":[{{"name":"a","shape":[1],"datatype":"INT8","parameters":{{"binary_data_size":{size}}}}}]}}"#
            );
            assert!(
                serde_json::from_str::<InferBody<'_>>(&text).is_err(),
                "{size}"
            );
        }
        let text = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":18446744073709551615}}]}"#;
        let body: InferBody<'_> = serde_json::from_str(text).unwrap();
        assert!(body.tensors(&[1]).is_err());
        for length in ["-1", "5", "", "18446744073709551616", "1.0"] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER_LENGTH, length.parse().unwrap());
            assert!(split(&headers, b"{}12").is_err(), "{length}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_LENGTH, "2".parse().unwrap());
        assert_eq!(split(&headers, b"{}12").unwrap(), (&b"{}"[..], &b"12"[..]));
    }
}
