//! From the tensors of a request to the inputs of a model, for REST and gRPC alike.
//!
//! Names and shapes are checked against the signature and the limit of rows before any value is
//! read, so that memory is only taken for values that fit.

use serde_json::value::RawValue;

use super::{
    binary,
    datatype::Datatype,
    exact::BadValue,
    json_data,
    values::{self, Values},
};
use crate::{
    domain::{
        model::{
            Input, Signature,
            tensor::{InputBatch, TensorData},
        },
        names::nearest,
        problem::Problem,
    },
    serve::error::ApiError,
};

/// One tensor of a request.
#[derive(Debug, Clone, Copy)]
pub struct GivenTensor<'a> {
    pub name: &'a str,
    pub datatype: &'a str,
    pub shape: &'a [i64],
    pub data: GivenData<'a>,
}

/// The values of a tensor, as they arrived.
#[derive(Debug, Clone, Copy)]
pub enum GivenData<'a> {
    Json(&'a RawValue),
    /// Little-endian bytes.
    Raw(&'a [u8]),
    Typed(Values<'a>),
}

/// Returns the inputs of a model.
///
/// # Errors
/// 400: unknown, repeated or missing inputs, wrong shapes, values that cannot be taken; 413: more
/// than `max_rows` rows.
pub fn input_batch(
    signature: &Signature,
    tensors: &[GivenTensor<'_>],
    max_rows: usize,
) -> Result<InputBatch, ApiError> {
    let order = order(&signature.inputs, tensors)?;
    let mut rows = None;
    for (input, at) in signature.inputs.iter().zip(&order) {
        let place = format!("inputs[{at}].shape");
        let found = rows_of(input, tensors[*at].shape)
            .map_err(|problem| ApiError::bad(problem.at(&place)))?;
        match rows {
            None => rows = Some(found),
            Some(rows) if rows == found => {}
            Some(rows) => {
                let message = format!(
                    "`{}` has {found} row(s), other inputs have {rows}",
                    input.name
                );
                return Err(ApiError::bad(Problem::new("oip.rows", message).at(place)));
            }
        }
    }
    let rows = rows.unwrap_or_default();
    check_rows(rows, max_rows)?;
    let mut inputs = Vec::with_capacity(signature.inputs.len());
    for (input, at) in signature.inputs.iter().zip(&order) {
        inputs.push(tensor(input, &tensors[*at], *at, rows).map_err(ApiError::bad)?);
    }
    Ok(InputBatch {
        rows,
        inputs,
        ..InputBatch::default()
    })
}

/// Returns for each input the index of its tensor.
fn order(inputs: &[Input], tensors: &[GivenTensor<'_>]) -> Result<Vec<usize>, ApiError> {
    let names = || inputs.iter().map(|input| input.name.as_str());
    let mut order = vec![None; inputs.len()];
    for (at, tensor) in tensors.iter().enumerate() {
        let place = format!("inputs[{at}].name");
        let Some(input) = names().position(|name| name == tensor.name) else {
            let shown: String = tensor.name.chars().take(60).collect();
            let message = format!("the model has no input `{shown}`");
            let problem = Problem::new("oip.unknown_input", message).at(place);
            return Err(ApiError::bad(match nearest(&shown, names()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("its inputs: {}", joined(names()))),
            }));
        };
        if order[input].replace(at).is_some() {
            let message = format!("input `{}` is given twice", tensor.name);
            let problem = Problem::new("oip.repeated_input", message);
            return Err(ApiError::bad(problem.at(place)));
        }
    }
    let missing = || names().zip(&order).filter(|(_, at)| at.is_none());
    if missing().next().is_some() {
        let missing = joined(missing().map(|(name, _)| name));
        let message = format!("missing input(s): {missing}");
        return Err(ApiError::bad(
            Problem::new("oip.missing_input", message).at("inputs"),
        ));
    }
    Ok(order.into_iter().flatten().collect())
}

/// Checks a shape against an input's, and returns its rows.
///
/// # Errors
/// Another shape.
pub fn rows_of(input: &Input, shape: &[i64]) -> Result<usize, Problem> {
    let wrong = || {
        let shown: Vec<_> = shape.iter().take(8).map(ToString::to_string).collect();
        let dims: String = input.dims.iter().map(|dim| format!(", {dim}")).collect();
        Problem::new(
            "oip.shape",
            format!("`{}` has shape [{}]", input.name, shown.join(", ")),
        )
        .help(format!("the model takes [rows{dims}]"))
    };
    let (rows, dims) = shape.split_first().ok_or_else(wrong)?;
    let is_same = dims.len() == input.dims.len()
        && dims
            .iter()
            .zip(&input.dims)
            .all(|(given, own)| usize::try_from(*given) == Ok(*own));
    match usize::try_from(*rows) {
        Ok(rows) if is_same => Ok(rows),
        _ => Err(wrong()),
    }
}

/// Checks the number of rows of a request.
///
/// # Errors
/// 400 without rows, 413 with more than `max_rows`.
pub fn check_rows(rows: usize, max_rows: usize) -> Result<(), ApiError> {
    if rows == 0 {
        let problem = Problem::new("request.no_rows", "the inputs have no rows");
        return Err(ApiError::bad(problem.at("inputs")));
    }
    if rows > max_rows {
        return Err(ApiError::new(
            axum::http::StatusCode::PAYLOAD_TOO_LARGE,
            Problem::new(
                "request.too_many_rows",
                format!("{rows} rows; {max_rows} are the limit"),
            )
            .at("inputs")
            .help("send several requests, or raise serve.max_rows"),
        ));
    }
    Ok(())
}

/// Returns the data type of a tensor. `at`: its index in the request.
///
/// # Errors
/// An unknown type, or one whose values are not those of the input.
pub fn datatype(input: &Input, given: &GivenTensor<'_>, at: usize) -> Result<Datatype, Problem> {
    let place = format!("inputs[{at}].datatype");
    let Some(datatype) = Datatype::named(given.datatype) else {
        let shown: String = given.datatype.chars().take(20).collect();
        let problem = Problem::new("oip.datatype", format!("unknown datatype `{shown}`"));
        let help = format!("choose from {}", Datatype::names());
        return Err(problem.at(place).help(help));
    };
    if datatype.suits(input.element) {
        return Ok(datatype);
    }
    let own = Datatype::from_element(input.element);
    let message = format!("`{}` takes {own}, not {datatype}", input.name);
    Err(Problem::new("oip.datatype", message).at(place))
}

/// Returns the values of a tensor. `at`: its index in the request.
///
/// # Errors
/// Values that are not of the input's element type, or that it cannot represent exactly.
pub fn tensor(
    input: &Input,
    given: &GivenTensor<'_>,
    at: usize,
    rows: usize,
) -> Result<TensorData, Problem> {
    let place = |field: &str| format!("inputs[{at}].{field}");
    let datatype = datatype(input, given, at)?;
    // Rows are limited, and the width is a model's.
    let count = rows.saturating_mul(input.width());
    let mut data = TensorData::new(input.element);
    let done = match given.data {
        GivenData::Json(_) if datatype == Datatype::Fp16 => {
            return Err(
                Problem::new("oip.datatype", "FP16 cannot be sent as JSON numbers")
                    .at(place("datatype"))
                    .help("send binary data, or FP32 whose values are exactly FP16"),
            );
        }
        GivenData::Json(text) => {
            let shape: Vec<_> = std::iter::once(rows).chain(input.dims.clone()).collect();
            json_data::append(&mut data, text.get(), datatype, &shape)
        }
        GivenData::Raw(bytes) => binary::append(&mut data, bytes, datatype, count),
        GivenData::Typed(typed) => values::append(&mut data, typed, datatype, count),
    };
    done.map_err(|bad| bad.explained(input, &place("data"), datatype))?;
    Ok(data)
}

impl BadValue {
    /// Returns the problem with row and column of the value.
    pub fn explained(self, input: &Input, place: &str, datatype: Datatype) -> Problem {
        let Self { at, reason } = self;
        let width = input.width().max(1);
        let message = match at {
            None => format!("`{}`: {reason}", input.name),
            Some(at) if width == 1 => format!("`{}`, row {at}: {reason}", input.name),
            Some(at) => format!(
                "`{}`, row {}, place {}: {reason}",
                input.name,
                at / width,
                at % width
            ),
        };
        let problem = Problem::new("oip.value", message).at(place);
        let own = Datatype::from_element(input.element);
        match reason.as_str() {
            reason if reason.contains("NaN") || reason.starts_with("null") => {
                problem.help("JSON has no NaN: send missing numbers as NaN in binary data")
            }
            _ if datatype != own && at.is_some() => {
                problem.help(format!("send {own}, which the model takes"))
            }
            _ => problem,
        }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::tensor::Element;

    fn signature() -> Signature {
        let input = |name: &str, element, dims: &[usize]| Input {
            name: name.to_owned(),
            element,
            dims: dims.to_vec(),
        };
        Signature {
            inputs: vec![
                input("X", Element::Float, &[2]),
                input("word", Element::String, &[]),
            ],
            outputs: Vec::new(),
            fixed_batch: None,
        }
    }

    fn given<'a>(
        name: &'a str,
        datatype: &'a str,
        shape: &'a [i64],
        text: &'a str,
    ) -> GivenTensor<'a> {
        GivenTensor {
            name,
            datatype,
            shape,
            data: GivenData::Json(serde_json::from_str(text).unwrap()),
        }
    }

    fn line(tensors: &[GivenTensor<'_>]) -> String {
        input_batch(&signature(), tensors, 3).unwrap_err().line()
    }

    #[test]
    fn tensors_are_found_by_name() {
        let tensors = [
            given("word", "BYTES", &[2], r#"["a","b"]"#),
            given("X", "FP32", &[2, 2], "[[1,2],[3,4]]"),
        ];
        let batch = input_batch(&signature(), &tensors, 3).unwrap();
        assert_eq!(batch.rows, 2);
        assert_eq!(
            batch.inputs,
            [
                TensorData::Float(vec![1.0, 2.0, 3.0, 4.0]),
                TensorData::String(["a", "b"].into())
            ]
        );
    }

    #[test]
    fn each_problem_names_its_place_and_what_to_do() {
        let word = || given("word", "BYTES", &[1], r#"["a"]"#);
        let tensor = |datatype, shape, text| [given("X", datatype, shape, text), word()];
        for (tensors, expected) in [
            (
                tensor("FP32", &[1, 3], "[1,2,3]"),
                "inputs[0].shape: `X` has shape [1, 3] (the model takes [rows, 2])",
            ),
            (
                tensor("FP32", &[-1, 2], "[1,2]"),
                "inputs[0].shape: `X` has shape [-1, 2] (the model takes [rows, 2])",
            ),
            (
                tensor("FP32", &[i64::MAX, 2], "[1,2]"),
                "inputs[1].shape: `word` has 1 row(s), other inputs have 9223372036854775807",
            ),
            (
                tensor("FP32", &[2, 2], "[1,2,3,4]"),
                "inputs[1].shape: `word` has 1 row(s), other inputs have 2",
            ),
            (
                tensor("FP32", &[1, 2], "[1,null]"),
                "inputs[0].data: `X`, row 0, place 1: null is not a number (FP32) (JSON has no NaN: send missing numbers as NaN in binary data)",
            ),
            (
                tensor("FP64", &[1, 2], "[1,0.1]"),
                "inputs[0].data: `X`, row 0, place 1: 0.1 is not exactly a value of FP32, the input's own type (send FP32, which the model takes)",
            ),
            (
                tensor("BYTES", &[1, 2], "[\"1\",\"2\"]"),
                "inputs[0].datatype: `X` takes FP32, not BYTES",
            ),
            (
                tensor("FP16", &[1, 2], "[1,2]"),
                "inputs[0].datatype: FP16 cannot be sent as JSON numbers (send binary data, or FP32 whose values are exactly FP16)",
            ),
            (
                [given("Y", "FP32", &[1, 2], "[1,2]"), word()],
                "inputs[0].name: the model has no input `Y` (its inputs: X, word)",
            ),
            (
                [word(), word()],
                "inputs[1].name: input `word` is given twice",
            ),
        ] {
            assert_eq!(line(&tensors), expected);
        }
        assert_eq!(line(&[word()]), "inputs: missing input(s): X");
        assert!(
            line(&tensor("FLOAT", &[1, 2], "[1,2]"))
                .starts_with("inputs[0].datatype: unknown datatype `FLOAT`")
        );
    }

    #[test]
    fn too_many_rows_are_refused_before_values_are_read() {
        let rows = [i64::MAX];
        let wide = [i64::MAX, 2];
        let tensors = [
            given("X", "FP32", &wide, "[]"),
            given("word", "BYTES", &rows, "[]"),
        ];
        let error = input_batch(&signature(), &tensors, 3).unwrap_err();
        assert_eq!(error.status, 413);
        let none = [
            given("X", "FP32", &[0, 2], "[]"),
            given("word", "BYTES", &[0], "[]"),
        ];
        assert_eq!(line(&none), "inputs: the inputs have no rows");
    }
}
