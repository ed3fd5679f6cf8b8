//! Converts CQL cells to tensor values by the rules of the manifest's `[features]`.
//!
//! Zeros lose their sign and every NaN becomes the same NaN, so that the model's inputs, and with
//! them the prediction, are a function of the row's hash.

mod fault;
mod push;

use std::borrow::Cow;

use half::f16;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub use fault::Fault;
use push::{
    append_floats, canonical_f16, finite, finite16, fixed, overflow, push_bool, push_decimal,
    push_f64,
};

use crate::{
    codec::{
        canonical::{canonical_f32, canonical_f64, integer},
        cql_type::CqlType,
        number::{EXACT_F16, EXACT_F32, EXACT_F64, f16_from_f64, varint_as},
        wire::Parts,
    },
    domain::{
        job::{Cast, Conversion, Epoch, NullRule, Place, Rule, prepare::CellTokens},
        model::tensor::TensorData,
    },
};

impl Place {
    /// Appends this place's `width` values to `data`, the buffer of its input. After a fault,
    /// `data` may hold some of them; the caller removes the row.
    pub fn append(&self, cell: Option<&[u8]>, data: &mut TensorData) -> Result<(), Fault> {
        self.append_sharing(cell, data, &mut CellTokens::default())
    }

    /// As [`Place::append`]; the places of one cell share its tokens.
    pub(super) fn append_sharing(
        &self,
        cell: Option<&[u8]>,
        data: &mut TensorData,
        tokens: &mut CellTokens,
    ) -> Result<(), Fault> {
        match &self.conversion {
            Conversion::Cell(rule) => rule.append(cell, self.width, data),
            Conversion::Prepared(preparation) => {
                let content = preparation.check(cell)?;
                preparation.kind.append(content, data, tokens)
            }
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

#[cfg(test)]
mod tests;
