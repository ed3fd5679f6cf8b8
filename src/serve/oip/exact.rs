//! Conversions that never change a value: each value is taken exactly, or refused.

use half::f16;

use super::datatype::Datatype;
use crate::domain::model::tensor::TensorData;

/// A value that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// Index of the value in the tensor; `None`: it concerns the whole tensor.
    pub at: Option<usize>,
    pub reason: String,
}

impl BadValue {
    /// The value with this index is wrong.
    pub fn at(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            reason: reason.into(),
        }
    }

    /// The tensor as a whole is wrong.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self {
            at: None,
            reason: reason.into(),
        }
    }

    /// The tensor has another number of values than its shape says.
    pub fn count(found: usize, expected: usize) -> Self {
        Self::whole(format!("{found} values; its shape has {expected}"))
    }
}

/// Appends integers.
///
/// # Errors
/// The first that the input's element type cannot represent exactly.
pub fn append_integers(
    data: &mut TensorData,
    values: impl Iterator<Item = i128>,
) -> Result<(), BadValue> {
    for (at, value) in values.enumerate() {
        push_integer(data, value).map_err(|reason| BadValue::at(at, reason))?;
    }
    Ok(())
}

/// Appends floats; NaN stays NaN.
///
/// # Errors
/// The first that the input's element type cannot represent exactly.
pub fn append_floats(
    data: &mut TensorData,
    values: impl Iterator<Item = f64>,
) -> Result<(), BadValue> {
    for (at, value) in values.enumerate() {
        push_float(data, value).map_err(|reason| BadValue::at(at, reason))?;
    }
    Ok(())
}

/// Appends an integer.
///
/// # Errors
/// The element type cannot represent it exactly.
pub fn push_integer(data: &mut TensorData, value: i128) -> Result<(), String> {
    let exactly = match data {
        TensorData::Int32(values) => i32::try_from(value).map(|value| values.push(value)).is_ok(),
        TensorData::Int64(values) => i64::try_from(value).map(|value| values.push(value)).is_ok(),
        TensorData::Double(values) => {
            let float = value as f64;
            values.push(float);
            float as i128 == value
        }
        TensorData::Float(values) => {
            let float = value as f32;
            values.push(float);
            float as i128 == value
        }
        TensorData::Float16(values) => {
            let float = f16::from_f64(value as f64);
            values.push(float);
            float.is_finite() && float.to_f64() as i128 == value
        }
        TensorData::Bool(_) | TensorData::String(_) => false,
    };
    if exactly {
        return Ok(());
    }
    Err(inexact(value, data))
}

/// Appends a float; NaN stays NaN.
///
/// # Errors
/// The element type cannot represent it exactly.
pub fn push_float(data: &mut TensorData, value: f64) -> Result<(), String> {
    // Also true for infinities. The sign of zero is kept by floats.
    let is_same = |float: f64| float == value || value.is_nan();
    let integer = value as i128;
    let is_integer = integer as f64 == value;
    let exactly = match data {
        TensorData::Double(values) => {
            values.push(value);
            true
        }
        TensorData::Float(values) => {
            let float = value as f32;
            values.push(float);
            is_same(f64::from(float))
        }
        TensorData::Float16(values) => {
            let float = f16::from_f64(value);
            values.push(float);
            is_same(float.to_f64())
        }
        TensorData::Int32(values) => {
            is_integer
                && i32::try_from(integer)
                    .map(|value| values.push(value))
                    .is_ok()
        }
        TensorData::Int64(values) => {
            is_integer
                && i64::try_from(integer)
                    .map(|value| values.push(value))
                    .is_ok()
        }
        TensorData::Bool(_) | TensorData::String(_) => false,
    };
    if exactly {
        return Ok(());
    }
    Err(inexact(value, data))
}

fn inexact(value: impl std::fmt::Display, data: &TensorData) -> String {
    let own = Datatype::from_element(data.element());
    format!("{value} is not exactly a value of {own}, the input's own type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::tensor::Element;

    fn integer(element: Element, value: i128) -> Option<TensorData> {
        let mut data = TensorData::new(element);
        push_integer(&mut data, value).ok().map(|()| data)
    }

    fn float(element: Element, value: f64) -> Option<TensorData> {
        let mut data = TensorData::new(element);
        push_float(&mut data, value).ok().map(|()| data)
    }

    #[test]
    fn integers_are_taken_exactly_or_refused() {
        let largest = i128::from(i64::MAX);
        assert_eq!(integer(Element::Int32, 1 << 31), None);
        assert_eq!(
            integer(Element::Int32, -(1 << 31)),
            Some(TensorData::Int32(vec![i32::MIN]))
        );
        assert_eq!(
            integer(Element::Int64, largest),
            Some(TensorData::Int64(vec![i64::MAX]))
        );
        assert_eq!(integer(Element::Int64, largest + 1), None);
        assert_eq!(integer(Element::Double, largest), None);
        assert_eq!(
            integer(Element::Double, 1 << 60),
            Some(TensorData::Double(vec![(1_u64 << 60) as f64]))
        );
        assert_eq!(integer(Element::Float, (1 << 24) + 1), None);
        assert!(integer(Element::Float, 1 << 24).is_some());
        assert_eq!(integer(Element::Float16, 2049), None);
        assert_eq!(integer(Element::Float16, 1 << 20), None);
        assert!(integer(Element::Float16, 2048).is_some());
        assert_eq!(integer(Element::Bool, 1), None);
        assert_eq!(integer(Element::String, 1), None);
    }

    #[test]
    fn floats_are_taken_exactly_or_refused() {
        assert_eq!(float(Element::Float, 0.1), None);
        assert_eq!(
            float(Element::Float, 0.5),
            Some(TensorData::Float(vec![0.5]))
        );
        assert_eq!(float(Element::Float, 1e39), None);
        assert!(float(Element::Float, f64::NEG_INFINITY).is_some());
        assert_eq!(float(Element::Float16, 0.1), None);
        assert!(float(Element::Float16, 0.5).is_some());
        assert_eq!(float(Element::Int64, 0.5), None);
        assert_eq!(float(Element::Int64, 2_f64.powi(63)), None);
        assert_eq!(float(Element::Int64, f64::INFINITY), None);
        assert_eq!(float(Element::Int32, f64::NAN), None);
        assert_eq!(
            float(Element::Int64, -3.0),
            Some(TensorData::Int64(vec![-3]))
        );
        let Some(TensorData::Float(nan)) = float(Element::Float, f64::NAN) else {
            panic!("NaN is a float");
        };
        assert!(nan[0].is_nan());
    }
}
