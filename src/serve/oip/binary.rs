//! Tensors as little-endian bytes: the binary extension of REST, raw contents of gRPC.

use half::f16;

use super::{
    datatype::Datatype,
    exact::{BadValue, append_floats, append_integers},
};
use crate::domain::model::tensor::TensorData;

/// Reads fixed-size values of a type.
macro_rules! read {
    ($bytes:expr, $type:ty) => {
        // Chunks have the size of the type.
        $bytes
            .chunks_exact(size_of::<$type>())
            .map(|chunk| <$type>::from_le_bytes(chunk.try_into().unwrap_or_default()))
    };
}

/// Appends `count` values.
///
/// # Errors
/// Another number of bytes, texts that are not UTF-8, values that the input cannot represent
/// exactly.
pub fn append(
    data: &mut TensorData,
    bytes: &[u8],
    datatype: Datatype,
    count: usize,
) -> Result<(), BadValue> {
    if let Some(size) = datatype.size() {
        let expected = count.checked_mul(size);
        if expected != Some(bytes.len()) {
            return Err(BadValue::whole(format!(
                "{} bytes; {count} values of {datatype} have {}",
                bytes.len(),
                expected.map_or("too many".to_owned(), |bytes| bytes.to_string())
            )));
        }
    }
    match (data, datatype) {
        (TensorData::Float(values), Datatype::Fp32) => values.extend(read!(bytes, f32)),
        (TensorData::Double(values), Datatype::Fp64) => values.extend(read!(bytes, f64)),
        (TensorData::Float16(values), Datatype::Fp16) => values.extend(read!(bytes, f16)),
        (TensorData::Int64(values), Datatype::Int64) => values.extend(read!(bytes, i64)),
        (TensorData::Int32(values), Datatype::Int32) => values.extend(read!(bytes, i32)),
        (TensorData::Bool(values), Datatype::Bool) => {
            if let Some(at) = bytes.iter().position(|byte| *byte > 1) {
                let reason = format!("byte {} is neither 0 nor 1", bytes[at]);
                return Err(BadValue::at(at, reason));
            }
            values.extend(bytes.iter().map(|byte| *byte == 1));
        }
        (TensorData::String(values), Datatype::Bytes) => {
            for (at, text) in byte_strings(bytes, count)?.into_iter().enumerate() {
                values.push(utf8(text, at)?);
            }
        }
        (data, Datatype::Uint8) => append_integers(data, read!(bytes, u8).map(i128::from))?,
        (data, Datatype::Uint16) => append_integers(data, read!(bytes, u16).map(i128::from))?,
        (data, Datatype::Uint32) => append_integers(data, read!(bytes, u32).map(i128::from))?,
        (data, Datatype::Uint64) => append_integers(data, read!(bytes, u64).map(i128::from))?,
        (data, Datatype::Int8) => append_integers(data, read!(bytes, i8).map(i128::from))?,
        (data, Datatype::Int16) => append_integers(data, read!(bytes, i16).map(i128::from))?,
        (data, Datatype::Int32) => append_integers(data, read!(bytes, i32).map(i128::from))?,
        (data, Datatype::Int64) => append_integers(data, read!(bytes, i64).map(i128::from))?,
        (data, Datatype::Fp16) => append_floats(data, read!(bytes, f16).map(f64::from))?,
        (data, Datatype::Fp32) => append_floats(data, read!(bytes, f32).map(f64::from))?,
        (data, Datatype::Fp64) => append_floats(data, read!(bytes, f64))?,
        (data, Datatype::Bool | Datatype::Bytes) => {
            let own = Datatype::from_element(data.element());
            return Err(BadValue::whole(format!("{datatype} cannot become {own}")));
        }
    }
    Ok(())
}

/// Returns the `count` values of a `BYTES` tensor.
///
/// # Errors
/// Another number of values, a length that exceeds the bytes that follow.
pub fn byte_strings(bytes: &[u8], count: usize) -> Result<Vec<&[u8]>, BadValue> {
    let mut found = Vec::new();
    for value in Prefixed::new(bytes) {
        if found.len() == count {
            return Err(BadValue::whole(format!(
                "more values than the {count} of its shape"
            )));
        }
        found.push(value.map_err(|reason| BadValue::at(found.len(), reason))?);
    }
    match found.len() == count {
        true => Ok(found),
        false => Err(BadValue::count(found.len(), count)),
    }
}

/// Checks that a text is UTF-8. `at`: its index.
///
/// # Errors
/// It is not.
pub fn utf8(text: &[u8], at: usize) -> Result<&str, BadValue> {
    std::str::from_utf8(text).map_err(|_| BadValue::at(at, "it is not UTF-8"))
}

/// Texts with a length of 4 bytes before each.
struct Prefixed<'a> {
    rest: &'a [u8],
}

impl<'a> Prefixed<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Prefixed<'a> {
    type Item = Result<&'a [u8], String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let text = self.rest.split_first_chunk().and_then(|(length, rest)| {
            let length = u32::from_le_bytes(*length);
            rest.split_at_checked(usize::try_from(length).ok()?)
        });
        let Some((text, rest)) = text else {
            self.rest = &[];
            return Some(Err("its length exceeds the bytes that follow".to_owned()));
        };
        self.rest = rest;
        Some(Ok(text))
    }
}

/// Appends all values of a tensor as bytes.
pub fn encode(data: &TensorData, bytes: &mut Vec<u8>) {
    macro_rules! write {
        ($values:expr) => {
            $values
                .iter()
                .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()))
        };
    }
    match data {
        TensorData::Float16(values) => write!(values),
        TensorData::Float(values) => write!(values),
        TensorData::Double(values) => write!(values),
        TensorData::Int32(values) => write!(values),
        TensorData::Int64(values) => write!(values),
        TensorData::Bool(values) => bytes.extend(values.iter().map(|value| u8::from(*value))),
        TensorData::String(values) => {
            for text in values.iter() {
                // An arena of texts has less than 4 GiB.
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::tensor::Element;

    fn decode(
        element: Element,
        bytes: &[u8],
        datatype: Datatype,
        count: usize,
    ) -> Result<TensorData, BadValue> {
        let mut data = TensorData::new(element);
        append(&mut data, bytes, datatype, count).map(|()| data)
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for data in [
            TensorData::Float16(vec![f16::from_f32(0.1), f16::INFINITY]),
            TensorData::Float(vec![0.1, f32::MIN_POSITIVE, f32::NEG_INFINITY]),
            TensorData::Double(vec![0.1, -0.0]),
            TensorData::Int32(vec![i32::MIN, 7]),
            TensorData::Int64(vec![i64::MAX, -1]),
            TensorData::Bool(vec![true, false]),
            TensorData::String(["", "Köln", "a"].into()),
        ] {
            let mut bytes = Vec::new();
            encode(&data, &mut bytes);
            let element = data.element();
            let decoded = decode(element, &bytes, Datatype::from_element(element), data.len());
            assert_eq!(decoded, Ok(data));
        }
    }

    #[test]
    fn other_types_are_converted_exactly_or_refused() {
        let small = [1_u8, 255];
        assert_eq!(
            decode(Element::Float, &small, Datatype::Int8, 2),
            Ok(TensorData::Float(vec![1.0, -1.0]))
        );
        assert_eq!(
            decode(Element::Int32, &small, Datatype::Uint8, 2),
            Ok(TensorData::Int32(vec![1, 255]))
        );
        let large = (1_i64 << 40).to_le_bytes();
        let refused = decode(Element::Int32, &large, Datatype::Int64, 1).unwrap_err();
        assert_eq!(refused.at, Some(0));
        let tenth = 0.1_f64.to_le_bytes();
        assert!(decode(Element::Float, &tenth, Datatype::Fp64, 1).is_err());
        assert!(decode(Element::String, &small, Datatype::Uint8, 2).is_err());
        assert!(decode(Element::Float, &[1], Datatype::Bool, 1).is_err());
        assert!(decode(Element::Int64, &[1, 0, 0, 0, 0], Datatype::Bytes, 1).is_err());
    }

    #[test]
    fn hostile_lengths_are_refused() {
        assert!(decode(Element::Float, &[0; 7], Datatype::Fp32, 2).is_err());
        assert!(decode(Element::Float, &[0; 8], Datatype::Fp32, usize::MAX / 2).is_err());
        assert!(decode(Element::Bool, &[0, 2], Datatype::Bool, 2).is_err());
        for bytes in [
            &[255, 255, 255, 255, b'a'][..],
            &[1, 0, 0],
            &[1, 0, 0, 0],
            &[1, 0, 0, 0, 0xff],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[],
        ] {
            let answer = decode(Element::String, bytes, Datatype::Bytes, 1);
            assert!(answer.is_err(), "{bytes:?}: {answer:?}");
        }
        let text = [1, 0, 0, 0, b'a'];
        assert!(decode(Element::String, &text, Datatype::Bytes, usize::MAX).is_err());
    }
}
