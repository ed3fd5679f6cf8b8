//! Values that arrive typed: the contents of a gRPC request that are not raw.

use super::{
    binary::utf8,
    datatype::{Datatype, ValueKind},
    exact::{BadValue, append_floats, append_integers},
};
use crate::domain::model::tensor::TensorData;

/// The values of one tensor.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    Bools(&'a [bool]),
    /// For `INT8`, `INT16` and `INT32`.
    Ints(&'a [i32]),
    Longs(&'a [i64]),
    /// For `UINT8`, `UINT16` and `UINT32`.
    Uints(&'a [u32]),
    Ulongs(&'a [u64]),
    Floats(&'a [f32]),
    Doubles(&'a [f64]),
    Texts(&'a [Vec<u8>]),
}

impl Values<'_> {
    /// Returns the number of values.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Bools(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Longs(values) => values.len(),
            Self::Uints(values) => values.len(),
            Self::Ulongs(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

/// Appends `count` values.
///
/// # Errors
/// Another number of values, values outside the range of the data type, texts that are not UTF-8,
/// values that the input cannot represent exactly.
pub fn append(
    data: &mut TensorData,
    values: Values<'_>,
    datatype: Datatype,
    count: usize,
) -> Result<(), BadValue> {
    if values.len() != count {
        return Err(BadValue::count(values.len(), count));
    }
    fn integers<'a, T: Copy + Into<i128>>(values: &'a [T]) -> impl Iterator<Item = i128> + 'a {
        values.iter().map(|value| (*value).into())
    }
    match (data, values) {
        (TensorData::Bool(data), Values::Bools(values)) => data.extend_from_slice(values),
        (TensorData::Float(data), Values::Floats(values)) => data.extend_from_slice(values),
        (TensorData::Double(data), Values::Doubles(values)) => data.extend_from_slice(values),
        (TensorData::Int64(data), Values::Longs(values)) => data.extend_from_slice(values),
        (TensorData::String(data), Values::Texts(values)) => {
            for (at, text) in values.iter().enumerate() {
                data.push(utf8(text, at)?);
            }
        }
        (data, Values::Ints(values)) => append_integers(data, {
            check_range(integers(values), datatype)?;
            integers(values)
        })?,
        (data, Values::Uints(values)) => append_integers(data, {
            check_range(integers(values), datatype)?;
            integers(values)
        })?,
        (data, Values::Longs(values)) => append_integers(data, integers(values))?,
        (data, Values::Ulongs(values)) => append_integers(data, integers(values))?,
        (data, Values::Floats(values)) => {
            append_floats(data, values.iter().map(|value| f64::from(*value)))?;
        }
        (data, Values::Doubles(values)) => append_floats(data, values.iter().copied())?,
        (data, Values::Bools(_) | Values::Texts(_)) => {
            let own = Datatype::from_element(data.element());
            return Err(BadValue::whole(format!("{datatype} cannot become {own}")));
        }
    }
    Ok(())
}

fn check_range(mut values: impl Iterator<Item = i128>, datatype: Datatype) -> Result<(), BadValue> {
    let ValueKind::Integer(min, max) = datatype.kind() else {
        return Ok(());
    };
    match values.position(|value| value < min || value > max) {
        Some(at) => Err(BadValue::at(
            at,
            format!("it is outside the range of {datatype}"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::tensor::Element;

    #[test]
    fn values_are_checked_against_their_type_and_the_input() {
        let read = |element, values, datatype, count| {
            let mut data = TensorData::new(element);
            append(&mut data, values, datatype, count).map(|()| data)
        };
        assert_eq!(
            read(Element::Double, Values::Ints(&[-1, 2]), Datatype::Int8, 2),
            Ok(TensorData::Double(vec![-1.0, 2.0]))
        );
        let text = [vec![0xff]];
        for (element, values, datatype, count) in [
            (Element::Int32, Values::Ints(&[1, 128]), Datatype::Int8, 2),
            (
                Element::Int32,
                Values::Uints(&[1 << 16]),
                Datatype::Uint16,
                1,
            ),
            (
                Element::Int32,
                Values::Longs(&[1 << 40]),
                Datatype::Int64,
                1,
            ),
            (
                Element::Int64,
                Values::Ulongs(&[u64::MAX]),
                Datatype::Uint64,
                1,
            ),
            (Element::Float, Values::Doubles(&[0.1]), Datatype::Fp64, 1),
            (Element::Float, Values::Floats(&[0.1]), Datatype::Fp32, 2),
            (Element::Float, Values::Bools(&[true]), Datatype::Bool, 1),
            (Element::String, Values::Texts(&text), Datatype::Bytes, 1),
        ] {
            assert!(
                read(element, values, datatype, count).is_err(),
                "{values:?}"
            );
        }
    }
}
