//! Checks that constants have as many values as their shapes.

use super::onnx::{DataType, TensorProto};

/// Returns the product of non-negative dimensions; `None` if it overflows or one is negative.
pub(super) fn elements(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |count, dim| {
        count.checked_mul(u64::try_from(*dim).ok()?)
    })
}

/// Checks that a tensor has as many values as its shape.
pub(super) fn content(tensor: &TensorProto) -> Result<(), String> {
    let dims = &tensor.dims;
    let count = elements(dims).ok_or_else(|| format!("impossible shape {dims:?}"))?;
    let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let bits = match kind {
        DataType::Undefined => return Err(format!("unknown data type {}", tensor.data_type)),
        DataType::String => {
            let held = tensor.string_data.len() as u64;
            return expect(count, held, dims);
        }
        DataType::Float4e2m1 | DataType::Int4 | DataType::Uint4 => 4,
        DataType::Bool
        | DataType::Int8
        | DataType::Uint8
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz => 8,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => 64,
        DataType::Complex128 => 128,
    };
    if !tensor.raw_data.is_empty() {
        let bytes = count.saturating_mul(bits).div_ceil(8);
        let held = tensor.raw_data.len() as u64;
        return (bytes == held)
            .then_some(())
            .ok_or_else(|| format!("shape {dims:?} requires {bytes} bytes, found {held}"));
    }
    let held = match kind {
        DataType::Float => tensor.float_data.len(),
        DataType::Complex64 => tensor.float_data.len() / 2,
        DataType::Double => tensor.double_data.len(),
        DataType::Complex128 => tensor.double_data.len() / 2,
        DataType::Int64 => tensor.int64_data.len(),
        DataType::Uint32 | DataType::Uint64 => tensor.uint64_data.len(),
        DataType::Float4e2m1 | DataType::Int4 | DataType::Uint4 => {
            // Each number holds two values.
            let packed = tensor.int32_data.len() as u64;
            return expect(count.div_ceil(2), packed, dims);
        }
        _ => tensor.int32_data.len(),
    };
    expect(count, held as u64, dims)
}

fn expect(count: u64, held: u64, dims: &[i64]) -> Result<(), String> {
    (count == held)
        .then_some(())
        .ok_or_else(|| format!("shape {dims:?} requires {count} values, found {held}"))
}
