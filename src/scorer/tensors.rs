//! Converts between helenus's buffers and ONNX Runtime's tensors.

use std::ops::Range;

use half::f16;
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use ort::{
    session::SessionInputValue,
    value::{DynTensorValueType, DynValue, PrimitiveTensorElementType, Tensor, TensorRef},
};

use super::{error_text::first_line, session::RunError, shapes::tensor_of, texts::read_texts};
use crate::domain::model::{
    Output, Signature,
    tensor::{InputBatch, TensorData},
};

/// Returns all inputs of a call by name: `rows` of the batch, padded to `padded` with the last row.
pub(super) fn values<'v>(
    signature: &'v Signature,
    batch: &'v InputBatch,
    rows: Range<usize>,
    padded: usize,
) -> Result<Vec<(&'v str, SessionInputValue<'v>)>, RunError> {
    if signature.inputs.len() != batch.inputs.len() {
        return Err(RunError::Misaligned(format!(
            "{} inputs were given, but {} are required",
            batch.inputs.len(),
            signature.inputs.len()
        )));
    }
    let pairs = signature.inputs.iter().zip(&batch.inputs);
    pairs
        .map(|(input, data)| {
            let width = input.width();
            if data.element() != input.element || data.len() != batch.rows * width {
                return Err(RunError::Misaligned(format!(
                    "input `{}` has {} values of {:?}, but {} of {:?} are required",
                    input.name,
                    data.len(),
                    data.element(),
                    batch.rows * width,
                    input.element
                )));
            }
            let shape: Vec<usize> = [padded].iter().chain(&input.dims).copied().collect();
            let value = value_of(data, rows.clone(), width, padded, IxDyn(&shape))
                .map_err(|why| RunError::Refused(format!("input `{}`: {why}", input.name)))?;
            Ok((input.name.as_str(), value))
        })
        .collect()
}

/// Returns a view of `rows`, or a copy of them padded to `padded` rows with the last one.
fn value_of<'v>(
    data: &'v TensorData,
    rows: Range<usize>,
    width: usize,
    padded: usize,
    shape: IxDyn,
) -> Result<SessionInputValue<'v>, String> {
    fn number<T>(
        values: &[T],
        rows: Range<usize>,
        width: usize,
        padded: usize,
        shape: IxDyn,
    ) -> ort::Result<SessionInputValue<'_>>
    where
        T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
    {
        let chunk = &values[rows.start * width..rows.end * width];
        if rows.len() == padded {
            let view = ArrayViewD::from_shape(shape, chunk).map_err(ort::Error::wrap)?;
            return Ok(TensorRef::from_array_view(view)?.into());
        }
        let array =
            ArrayD::from_shape_vec(shape, pad(chunk, width, padded)).map_err(ort::Error::wrap)?;
        Ok(Tensor::from_array(array)?.into())
    }
    fn text<'v>(texts: &[String], shape: IxDyn) -> ort::Result<SessionInputValue<'v>> {
        let view = ArrayViewD::from_shape(shape, texts).map_err(ort::Error::wrap)?;
        Ok(Tensor::from_string_array(view)?.into())
    }
    let value = match data {
        TensorData::Float16(values) => number::<f16>(values, rows, width, padded, shape),
        TensorData::Float(values) => number(values, rows, width, padded, shape),
        TensorData::Double(values) => number(values, rows, width, padded, shape),
        TensorData::Int32(values) => number(values, rows, width, padded, shape),
        TensorData::Int64(values) => number(values, rows, width, padded, shape),
        TensorData::Bool(values) => number(values, rows, width, padded, shape),
        TensorData::String(values) => {
            // ONNX Runtime copies each text anyway.
            let chunk: Vec<String> = values
                .range(rows.start * width..rows.end * width)
                .map(str::to_owned)
                .collect();
            if chunk.iter().any(|text| text.contains('\0')) {
                return Err("ONNX Runtime does not support text with a NUL character".to_owned());
            }
            if rows.len() == padded {
                text(&chunk, shape)
            } else {
                text(&pad(&chunk, width, padded), shape)
            }
        }
    };
    value.map_err(|error| first_line(&error.to_string()))
}

fn pad<T: Clone>(chunk: &[T], width: usize, padded: usize) -> Vec<T> {
    let mut values = chunk.to_vec();
    let last = &chunk[chunk.len() - width..];
    while values.len() < padded * width {
        values.extend_from_slice(last);
    }
    values
}

/// Appends the first `rows` rows of an output of `padded` rows.
pub(super) fn read(
    value: &DynValue,
    output: &Output,
    rows: usize,
    padded: usize,
    data: &mut TensorData,
) -> Result<(), RunError> {
    let misaligned =
        |what: String| RunError::Misaligned(format!("output `{}` {what}", output.name));
    let (element, shape) =
        tensor_of(value.dtype()).map_err(|kind| misaligned(format!("is of type {kind}")))?;
    let wanted: Vec<i64> = std::iter::once(padded)
        .chain(output.dims.iter().copied())
        .map(|dim| dim as i64)
        .collect();
    if element != output.element || shape != wanted {
        return Err(misaligned(format!(
            "is {element:?} {shape:?} for {padded} rows, but {:?} {wanted:?} was admitted",
            output.element
        )));
    }
    let take = rows * output.width();
    let failed = |error: ort::Error| misaligned(format!("cannot be read: {error}"));
    match data {
        TensorData::Float16(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f16>().map_err(failed)?.1[..take])
        }
        TensorData::Float(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f32>().map_err(failed)?.1[..take])
        }
        TensorData::Double(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<f64>().map_err(failed)?.1[..take])
        }
        TensorData::Int32(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<i32>().map_err(failed)?.1[..take])
        }
        TensorData::Int64(values) => {
            values.extend_from_slice(&value.try_extract_tensor::<i64>().map_err(failed)?.1[..take])
        }
        TensorData::Bool(values) => values.extend(
            truths(value, padded * output.width()).map_err(failed)?[..take]
                .iter()
                .map(|byte| *byte != 0),
        ),
        TensorData::String(values) => {
            read_texts(value, padded * output.width(), take, values).map_err(|error| {
                RunError::Refused(format!(
                    "output `{}`: {}",
                    output.name,
                    first_line(&error.to_string())
                ))
            })?;
        }
    }
    Ok(())
}

/// Returns the bytes of a bool tensor: a model may have written values other than 0 and 1, which
/// are undefined behaviour in a Rust `bool`.
fn truths(value: &DynValue, len: usize) -> ort::Result<&[u8]> {
    let tensor = value.view().downcast::<DynTensorValueType>()?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller has checked that this is a bool tensor of exactly `len` values, which ONNX
    // Runtime keeps as one byte each, on the CPU (the only provider registered); the slice lives no
    // longer than the value.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), len) })
}
