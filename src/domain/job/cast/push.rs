//! Appends one number to the values of a tensor: exact, or refused.

use half::f16;

use super::fault::Fault;
use crate::{
    codec::{
        canonical::{canonical_f32, canonical_f64},
        number::{decimal_as, f16_from_f64},
    },
    domain::model::tensor::TensorData,
};

pub(super) fn push_f64(number: f64, data: &mut TensorData) -> Result<(), Fault> {
    match data {
        TensorData::Double(values) => values.push(canonical_f64(number)),
        TensorData::Float(values) => {
            let near = number as f32;
            if near.is_infinite() && number.is_finite() {
                return Err(overflow(&number));
            }
            values.push(canonical_f32(near));
        }
        TensorData::Float16(values) => {
            let half = f16_from_f64(number);
            values.push(match number.is_finite() {
                true => finite16(half, &number)?,
                false => canonical_f16(half),
            });
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(())
}

pub(super) fn push_bool(truth: bool, data: &mut TensorData) -> Result<(), Fault> {
    match data {
        TensorData::Bool(values) => values.push(truth),
        TensorData::Int32(values) => values.push(truth.into()),
        TensorData::Int64(values) => values.push(truth.into()),
        TensorData::Float(values) => values.push(truth.into()),
        TensorData::Double(values) => values.push(truth.into()),
        TensorData::Float16(values) => values.push(if truth { f16::ONE } else { f16::ZERO }),
        TensorData::String(_) => return Err(Fault::Unsupported),
    }
    Ok(())
}

pub(super) fn push_decimal(bytes: &[u8], data: &mut TensorData) -> Result<(), Fault> {
    let (scale, unscaled) = bytes.split_first_chunk().ok_or(Fault::Malformed)?;
    let scale = i32::from_be_bytes(*scale);
    if unscaled.is_empty() {
        return Err(Fault::Malformed);
    }
    let beyond = || overflow(&"the number");
    match data {
        TensorData::Float(values) => {
            let number = decimal_as::<f32>(scale, unscaled).ok_or(Fault::TooManyDigits)?;
            values.push(canonical_f32(
                Some(number).filter(|n| n.is_finite()).ok_or_else(beyond)?,
            ));
        }
        TensorData::Double(_) | TensorData::Float16(_) => {
            let number = decimal_as::<f64>(scale, unscaled).ok_or(Fault::TooManyDigits)?;
            push_f64(finite(number).ok_or_else(beyond)?, data)?;
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(())
}

/// Appends big-endian floats without framing (the fast path).
pub(super) fn append_floats(
    bytes: &[u8],
    width: usize,
    reject_nonfinite: bool,
    values: &mut Vec<f32>,
) -> Result<(), Fault> {
    let (elements, rest) = bytes.as_chunks::<4>();
    if elements.len() != width || !rest.is_empty() {
        return Err(Fault::Malformed);
    }
    let start = values.len();
    values.extend(
        elements
            .iter()
            .map(|element| canonical_f32(f32::from_be_bytes(*element))),
    );
    if reject_nonfinite && !values[start..].iter().all(|value| value.is_finite()) {
        return Err(Fault::NonFinite);
    }
    Ok(())
}

pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::Malformed)
}

pub(super) fn overflow(number: &dyn std::fmt::Display) -> Fault {
    Fault::Overflow(number.to_string())
}

pub(super) fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

pub(super) fn finite16(half: f16, number: &dyn std::fmt::Display) -> Result<f16, Fault> {
    match half.is_finite() {
        true => Ok(canonical_f16(half)),
        false => Err(overflow(number)),
    }
}

/// Returns the canonical NaN and positive zero.
pub(super) fn canonical_f16(half: f16) -> f16 {
    if half.is_nan() {
        f16::NAN
    } else if half == f16::ZERO {
        f16::ZERO
    } else {
        half
    }
}
