//! Converts element types and shapes between ONNX, ONNX Runtime and helenus.

use ort::value::{TensorElementType, ValueType};

use super::onnx::DataType;
use crate::domain::model::tensor::Element;

/// Returns the element type of an ONNX data type, or the name of an unsupported one.
pub(super) fn element_of(data_type: i32) -> Result<Element, String> {
    match DataType::try_from(data_type) {
        Ok(DataType::Float16) => Ok(Element::Float16),
        Ok(DataType::Float) => Ok(Element::Float),
        Ok(DataType::Double) => Ok(Element::Double),
        Ok(DataType::Int32) => Ok(Element::Int32),
        Ok(DataType::Int64) => Ok(Element::Int64),
        Ok(DataType::Bool) => Ok(Element::Bool),
        Ok(DataType::String) => Ok(Element::String),
        Ok(other) => Err(format!("{other:?}").to_lowercase()),
        Err(_) => Err(format!("unknown ({data_type})")),
    }
}

/// Returns the element type and shape (-1 for any) of a session's input or output, or the name of
/// an unsupported type.
pub(super) fn tensor_of(declared: &ValueType) -> Result<(Element, Vec<i64>), String> {
    let (ty, shape) = match declared {
        ValueType::Tensor { ty, shape, .. } => (ty, shape),
        ValueType::Sequence(_) => return Err("sequence".to_owned()),
        ValueType::Map { .. } => return Err("map".to_owned()),
        ValueType::Optional(_) => return Err("optional".to_owned()),
    };
    let element = match ty {
        TensorElementType::Float16 => Element::Float16,
        TensorElementType::Float32 => Element::Float,
        TensorElementType::Float64 => Element::Double,
        TensorElementType::Int32 => Element::Int32,
        TensorElementType::Int64 => Element::Int64,
        TensorElementType::Bool => Element::Bool,
        TensorElementType::String => Element::String,
        other => return Err(other.to_string()),
    };
    Ok((element, shape.to_vec()))
}
