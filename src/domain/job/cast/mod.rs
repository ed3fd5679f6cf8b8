//! Converts CQL cells to tensor values by the rules of the manifest's `[features]`.
//!
//! Zeros lose their sign and every NaN becomes the same NaN, so that the model's inputs, and with
//! them the prediction, are a function of the row's hash.

mod fault;

use std::borrow::Cow;

use half::f16;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub use fault::Fault;

use crate::{
    codec::{
        canonical::{canonical_f32, canonical_f64, integer},
        cql_type::CqlType,
        number::{EXACT_F16, EXACT_F32, EXACT_F64, decimal_as, f16_from_f64, varint_as},
        wire::Parts,
    },
    domain::{
        job::{Cast, Conversion, Epoch, NullRule, Place, Rule},
        model::tensor::{Element, TensorData},
    },
};

impl Place {
    /// Appends this place's `width` values to `data`, the buffer of its input. After a fault,
    /// `data` may hold some of them; the caller removes the row.
    pub fn append(&self, cell: Option<&[u8]>, data: &mut TensorData) -> Result<(), Fault> {
        match &self.conversion {
            Conversion::Cell(rule) => rule.append(cell, self.width, data),
            Conversion::Prepared(preparation) => preparation.append(preparation.check(cell)?, data),
        }
    }
}

impl Rule {
    /// Appends `width` values. After a fault, `data` may hold some of them.
    pub(super) fn append(
        &self,
        cell: Option<&[u8]>,
        width: usize,
        data: &mut TensorData,
    ) -> Result<(), Fault> {
        let Some(bytes) = cell else {
            return self.append_fill(&self.null, width, data);
        };
        match self.cql_type.thawed() {
            CqlType::Vector(element, has) => {
                let has = usize::from(*has);
                if has != width {
                    return Err(Fault::Width {
                        got: has,
                        want: width,
                    });
                }
                self.append_elements(element, bytes, width, data)
            }
            CqlType::List(element) => self.append_elements(element, bytes, width, data),
            scalar => self.append_scalar(scalar, bytes, data),
        }
    }

    fn append_fill(
        &self,
        fill: &NullRule,
        width: usize,
        data: &mut TensorData,
    ) -> Result<(), Fault> {
        for _ in 0..width {
            match (fill, &mut *data) {
                (NullRule::Reject, _) => return Err(Fault::Null),
                (NullRule::Nan, _) => push_f64(f64::NAN, data)?,
                (NullRule::Number(number), _) => push_f64(*number, data)?,
                (NullRule::Integer(number), _) => self.push_integer(i128::from(*number), data)?,
                (NullRule::Bool(truth), _) => push_bool(*truth, data)?,
                (NullRule::Text(text), TensorData::String(values)) => values.push(text),
                (NullRule::Text(_), _) => return Err(Fault::Unsupported),
            }
        }
        Ok(())
    }

    fn append_elements(
        &self,
        element: &CqlType,
        bytes: &[u8],
        width: usize,
        data: &mut TensorData,
    ) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        let is_vector = matches!(self.cql_type.thawed(), CqlType::Vector(..));
        if let (true, CqlType::Float, TensorData::Float(values)) = (is_vector, element, &mut *data)
        {
            return append_floats(bytes, width, self.reject_nonfinite, values);
        }
        let parts = match Parts::open(&self.cql_type, bytes) {
            Some(Ok(parts)) => parts,
            Some(Err(_)) => return Err(Fault::Malformed),
            None => return Err(Fault::Unsupported),
        };
        let short = match width.checked_sub(parts.remaining()) {
            Some(0) => 0,
            Some(short) if self.pad != NullRule::Reject => short,
            _ => {
                return Err(Fault::Width {
                    got: parts.remaining(),
                    want: width,
                });
            }
        };
        let mut parts = parts;
        for part in parts.by_ref() {
            match part {
                Ok(Some(part)) => self.append_scalar(element, part, data)?,
                Ok(None) => return Err(Fault::NullElement),
                Err(_) => return Err(Fault::Malformed),
            }
        }
        match parts.is_exhausted() {
            true => self.append_fill(&self.pad, short, data),
            false => Err(Fault::Malformed),
        }
    }

    fn append_scalar(
        &self,
        cql_type: &CqlType,
        bytes: &[u8],
        data: &mut TensorData,
    ) -> Result<(), Fault> {
        if let CqlType::Text | CqlType::Ascii = cql_type {
            return self.append_text(bytes, data);
        }
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        match cql_type {
            CqlType::Float => self.push_float(f32::from_be_bytes(fixed(bytes)?), data),
            CqlType::Double => self.push_double(f64::from_be_bytes(fixed(bytes)?), data),
            CqlType::Int => self.push_integer(i32::from_be_bytes(fixed(bytes)?).into(), data),
            CqlType::Bigint => self.push_integer(i64::from_be_bytes(fixed(bytes)?).into(), data),
            CqlType::Smallint => self.push_integer(i16::from_be_bytes(fixed(bytes)?).into(), data),
            CqlType::Tinyint => self.push_integer(i8::from_be_bytes(fixed(bytes)?).into(), data),
            CqlType::Boolean => push_bool(fixed::<1>(bytes)?[0] != 0, data),
            CqlType::Varint => self.push_varint(bytes, data),
            CqlType::Decimal => push_decimal(bytes, data),
            CqlType::Timestamp | CqlType::Date | CqlType::Time => {
                self.push_integer(self.since_epoch(cql_type, bytes)?, data)
            }
            _ => Err(Fault::Unsupported),
        }
    }

    /// Returns whole units since 1970-01-01 UTC (since midnight for a time), rounded down.
    fn since_epoch(&self, cql_type: &CqlType, bytes: &[u8]) -> Result<i128, Fault> {
        const DAY_MS: i128 = 86_400_000;
        let milliseconds = match cql_type {
            CqlType::Timestamp => i128::from(i64::from_be_bytes(fixed(bytes)?)),
            // Stored with day 0 in the middle of the unsigned range.
            CqlType::Date => {
                (i128::from(u32::from_be_bytes(fixed(bytes)?)) - (1_i128 << 31)) * DAY_MS
            }
            CqlType::Time => i128::from(i64::from_be_bytes(fixed(bytes)?)).div_euclid(1_000_000),
            _ => return Err(Fault::Unsupported),
        };
        match self.epoch {
            Some(Epoch::Milliseconds) => Ok(milliseconds),
            Some(Epoch::Seconds) => Ok(milliseconds.div_euclid(1_000)),
            Some(Epoch::Days) => Ok(milliseconds.div_euclid(DAY_MS)),
            None => Err(Fault::Unsupported),
        }
    }

    fn append_text(&self, bytes: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        let TensorData::String(values) = data else {
            return Err(Fault::Unsupported);
        };
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::Malformed)?;
        let text = match self.text.trim {
            true => text.trim(),
            false => text,
        };
        let composed = !self.text.nfc || is_nfc_quick(text.chars()) == IsNormalized::Yes;
        match (composed, self.text.lower) {
            (true, false) => values.push(text),
            (false, false) => values.push_parts(text.nfc()),
            (_, true) => {
                let text: Cow<'_, str> = match composed {
                    true => text.into(),
                    false => text.nfc().collect::<String>().into(),
                };
                values.push(&text.to_lowercase());
            }
        }
        Ok(())
    }

    fn push_integer(&self, number: i128, data: &mut TensorData) -> Result<(), Fault> {
        let exact_to = |limit: i64| match self.cast {
            Cast::Exact if number.unsigned_abs() > limit.unsigned_abs().into() => {
                Err(Fault::Inexact(number))
            }
            _ => Ok(()),
        };
        match data {
            TensorData::Float(values) => {
                exact_to(EXACT_F32)?;
                values.push(number as f32);
            }
            TensorData::Double(values) => {
                exact_to(EXACT_F64)?;
                values.push(number as f64);
            }
            TensorData::Float16(values) => {
                exact_to(EXACT_F16)?;
                values.push(finite16(f16_from_f64(number as f64), &number)?);
            }
            TensorData::Int64(values) => {
                values.push(i64::try_from(number).map_err(|_| overflow(&number))?);
            }
            TensorData::Int32(values) => {
                values.push(i32::try_from(number).map_err(|_| overflow(&number))?);
            }
            TensorData::Bool(_) | TensorData::String(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn push_float(&self, number: f32, data: &mut TensorData) -> Result<(), Fault> {
        if self.reject_nonfinite && !number.is_finite() {
            return Err(Fault::NonFinite);
        }
        let number = canonical_f32(number);
        match data {
            TensorData::Float(values) => values.push(number),
            TensorData::Double(values) => values.push(canonical_f64(number.into())),
            TensorData::Float16(values) => {
                let half = f16::from_f32(number);
                values.push(match number.is_finite() {
                    true => finite16(half, &number)?,
                    false => canonical_f16(half),
                });
            }
            _ => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn push_double(&self, number: f64, data: &mut TensorData) -> Result<(), Fault> {
        if self.reject_nonfinite && !number.is_finite() {
            return Err(Fault::NonFinite);
        }
        push_f64(number, data)
    }

    fn push_varint(&self, bytes: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        if let Some(number) = integer(bytes) {
            return self.push_integer(number, data);
        }
        // Beyond 2^127, which exceeds every integer tensor.
        let beyond = || overflow(&"a number beyond 2^127");
        match data {
            TensorData::Double(values) => {
                let number = varint_as::<f64>(bytes).ok_or(Fault::TooManyDigits)?;
                values.push(finite(number).ok_or_else(beyond)?);
            }
            TensorData::Float(values) => {
                let number = varint_as::<f32>(bytes).ok_or(Fault::TooManyDigits)?;
                values.push(Some(number).filter(|n| n.is_finite()).ok_or_else(beyond)?);
            }
            TensorData::Bool(_) | TensorData::String(_) => return Err(Fault::Unsupported),
            _ => return Err(beyond()),
        }
        Ok(())
    }
}

fn push_f64(number: f64, data: &mut TensorData) -> Result<(), Fault> {
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

fn push_bool(truth: bool, data: &mut TensorData) -> Result<(), Fault> {
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

fn push_decimal(bytes: &[u8], data: &mut TensorData) -> Result<(), Fault> {
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
fn append_floats(
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

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_| Fault::Malformed)
}

fn overflow(number: &dyn std::fmt::Display) -> Fault {
    Fault::Overflow(number.to_string())
}

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

fn finite16(half: f16, number: &dyn std::fmt::Display) -> Result<f16, Fault> {
    match half.is_finite() {
        true => Ok(canonical_f16(half)),
        false => Err(overflow(number)),
    }
}

/// Returns the canonical NaN and positive zero.
fn canonical_f16(half: f16) -> f16 {
    if half.is_nan() {
        f16::NAN
    } else if half == f16::ZERO {
        f16::ZERO
    } else {
        half
    }
}

impl Element {
    /// Returns the ONNX name: `float`, `int64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float16 => "float16",
            Self::Float => "float",
            Self::Double => "double",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }
}

#[cfg(test)]
mod tests;
