//! One byte form for values that Cassandra considers equal, for hashing and for matching keys.

use num_bigint::BigInt;

use super::{
    cql_type::CqlType,
    wire::{Parts, part_type},
};

/// Whether negative zero differs from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// For keys: Cassandra orders -0.0 before 0.0.
    Distinct,
    /// For features: both are the number zero.
    Equal,
}

/// The one NaN that is hashed and passed to models, whatever payload was stored.
pub const NAN32: f32 = f32::from_bits(0x7fc0_0000);
/// The same in double precision.
pub const NAN64: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Returns the canonical NaN and positive zero; other numbers are unchanged.
#[inline]
pub fn canonical_f32(value: f32) -> f32 {
    // IEEE 754: -0.0 + 0.0 is +0.0.
    if value.is_nan() { NAN32 } else { value + 0.0 }
}

/// Returns the canonical NaN and positive zero; other numbers are unchanged.
#[inline]
pub fn canonical_f64(value: f64) -> f64 {
    if value.is_nan() { NAN64 } else { value + 0.0 }
}

const NULL: u8 = 0;
const EMPTY: u8 = 1;
const VALUE: u8 = 2;

/// Appends a cell in self-delimiting form: 0 for null, 1 for an empty value, or 2, the length (u32,
/// little-endian) and the canonical bytes.
pub fn append_cell(cql_type: &CqlType, cell: Option<&[u8]>, zeros: Zeros, out: &mut Vec<u8>) {
    match cell {
        None => out.push(NULL),
        Some([]) => out.push(EMPTY),
        // The most common feature, in one piece.
        Some(&[a, b, c, d]) if *cql_type == CqlType::Float => {
            out.extend_from_slice(&float_cell([a, b, c, d], zeros));
        }
        Some(bytes) => {
            out.push(VALUE);
            let head = out.len();
            out.extend_from_slice(&[0; 4]);
            append_value(cql_type, bytes, zeros, out);
            // A CQL value is shorter than 2 GiB, and no canonical form doubles it.
            let length = (out.len() - head - 4) as u32;
            out[head..head + 4].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Appends the canonical bytes of a value that is neither null nor empty. Bytes that are not a
/// valid value of the type are appended unchanged.
pub fn append_value(cql_type: &CqlType, bytes: &[u8], zeros: Zeros, out: &mut Vec<u8>) {
    let start = out.len();
    let done = match cql_type.thawed() {
        CqlType::Boolean => match bytes {
            [byte] => {
                out.push(u8::from(*byte != 0));
                true
            }
            _ => false,
        },
        CqlType::Float => <[u8; 4]>::try_from(bytes).is_ok_and(|bytes| {
            out.extend_from_slice(&float(bytes, zeros));
            true
        }),
        CqlType::Double => <[u8; 8]>::try_from(bytes).is_ok_and(|bytes| {
            let value = f64::from_be_bytes(bytes);
            let value = match zeros {
                Zeros::Distinct if value == 0.0 => value,
                _ => canonical_f64(value),
            };
            out.extend_from_slice(&value.to_be_bytes());
            true
        }),
        CqlType::Varint => {
            out.extend_from_slice(minimal(bytes));
            true
        }
        CqlType::Decimal => append_decimal(bytes, out),
        CqlType::Vector(element, width)
            if **element == CqlType::Float && bytes.len() == 4 * usize::from(*width) =>
        {
            append_floats(bytes, zeros, out);
            true
        }
        composed => append_parts(composed, bytes, zeros, out),
    };
    if !done {
        out.truncate(start);
        out.extend_from_slice(bytes);
    }
}

/// Does the work of [`append_parts`] for a vector of floats, in one pass.
fn append_floats(bytes: &[u8], zeros: Zeros, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len() / 4 * FLOAT_CELL, 0);
    let (elements, _) = bytes.as_chunks::<4>();
    let (cells, _) = out[start..].as_chunks_mut::<FLOAT_CELL>();
    for (cell, element) in cells.iter_mut().zip(elements) {
        *cell = float_cell(*element, zeros);
    }
}

const FLOAT_CELL: usize = 9;

/// Returns a float framed as by [`append_cell`].
#[inline]
fn float_cell(bytes: [u8; 4], zeros: Zeros) -> [u8; FLOAT_CELL] {
    let [a, b, c, d] = float(bytes, zeros);
    [VALUE, 4, 0, 0, 0, a, b, c, d]
}

#[inline]
fn float(bytes: [u8; 4], zeros: Zeros) -> [u8; 4] {
    let value = f32::from_be_bytes(bytes);
    match zeros {
        Zeros::Distinct if value == 0.0 => bytes,
        _ => canonical_f32(value).to_be_bytes(),
    }
}

fn append_parts(cql_type: &CqlType, bytes: &[u8], zeros: Zeros, out: &mut Vec<u8>) -> bool {
    let Some(Ok(mut parts)) = Parts::open(cql_type, bytes) else {
        return false;
    };
    // A tuple written before a field was added is equal to one with a null there.
    let mut end = out.len();
    let nulls_end_it = matches!(cql_type, CqlType::Tuple(_) | CqlType::Udt(..));
    for (index, part) in parts.by_ref().enumerate() {
        let (Ok(part), Some(inner)) = (part, part_type(cql_type, index)) else {
            return false;
        };
        append_cell(inner, part, zeros, out);
        if part.is_some() || !nulls_end_it {
            end = out.len();
        }
    }
    out.truncate(end);
    parts.is_exhausted()
}

/// Returns a two's complement number without redundant leading bytes.
fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [first, second, ..] = bytes
        && ((*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80))
    {
        bytes = &bytes[1..];
    }
    bytes
}

/// Appends a decimal as its scale (i64, big-endian) and unscaled number, with all trailing zeros
/// moved to the scale: 1.00 and 1.0 become 1, and 100 becomes 1 x 10^2.
fn append_decimal(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((scale, unscaled)) = bytes.split_first_chunk() else {
        return false;
    };
    if unscaled.is_empty() {
        return false;
    }
    let scale = i64::from(i32::from_be_bytes(*scale));
    if let Some(mut number) = integer(unscaled) {
        let mut scale = scale;
        while number != 0 && number % 10 == 0 {
            number /= 10;
            scale -= 1;
        }
        if number == 0 {
            scale = 0;
        }
        out.extend_from_slice(&scale.to_be_bytes());
        out.extend_from_slice(minimal(&number.to_be_bytes()));
        return true;
    }
    let number = BigInt::from_signed_bytes_be(unscaled);
    let digits = number.to_string();
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let number = match u32::try_from(zeros) {
        Ok(zeros) => number / BigInt::from(10).pow(zeros),
        Err(_) => return false,
    };
    out.extend_from_slice(&(scale - zeros as i64).to_be_bytes());
    out.extend_from_slice(minimal(&number.to_signed_bytes_be()));
    true
}

/// Returns a two's complement number that has at most 16 bytes without redundant leading ones.
pub fn integer(bytes: &[u8]) -> Option<i128> {
    let bytes = minimal(bytes);
    let first = *bytes.first()?;
    let mut wide = [if first >= 0x80 { 0xff } else { 0 }; 16];
    let start = 16_usize.checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(cql_type: &str, bytes: &[u8], zeros: Zeros) -> Vec<u8> {
        let mut out = Vec::new();
        append_cell(
            &CqlType::parse(cql_type).unwrap(),
            Some(bytes),
            zeros,
            &mut out,
        );
        out
    }

    fn decimal(scale: i32, unscaled: &[u8]) -> Vec<u8> {
        [&scale.to_be_bytes()[..], unscaled].concat()
    }

    #[test]
    fn fixed_vectors_of_the_cell_form() {
        let mut out = Vec::new();
        append_cell(&CqlType::Int, None, Zeros::Equal, &mut out);
        append_cell(&CqlType::Int, Some(&[]), Zeros::Equal, &mut out);
        append_cell(&CqlType::Int, Some(&[0, 0, 0, 7]), Zeros::Equal, &mut out);
        assert_eq!(out, [0, 1, 2, 4, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn equal_numbers_have_one_form() {
        let equal = |cql_type: &str, a: &[u8], b: &[u8]| {
            assert_eq!(
                canonical(cql_type, a, Zeros::Distinct),
                canonical(cql_type, b, Zeros::Distinct),
                "{cql_type}: {a:?} and {b:?}"
            );
        };
        equal("decimal", &decimal(1, &[10]), &decimal(2, &[100]));
        equal("decimal", &decimal(0, &[10]), &decimal(-1, &[0, 1]));
        equal("decimal", &decimal(9, &[0]), &decimal(0, &[0, 0]));
        equal("decimal", &decimal(1, &[0xf6]), &decimal(0, &[0xff]));
        let big = BigInt::from(7).pow(60);
        equal(
            "decimal",
            &decimal(3, &(&big * BigInt::from(1000)).to_signed_bytes_be()),
            &decimal(0, &big.to_signed_bytes_be()),
        );
        equal("varint", &[0, 0, 0x80], &[0, 0x80]);
        equal("varint", &[0xff, 0xff, 0x80], &[0x80]);
        equal("boolean", &[1], &[9]);
        equal(
            "double",
            &0x7ff8_0000_0000_0001_u64.to_be_bytes(),
            &NAN64.to_be_bytes(),
        );
        equal(
            "frozen<tuple<int, decimal>>",
            &[&[0, 0, 0, 4, 0, 0, 0, 1][..]].concat(),
            &[&[0, 0, 0, 4, 0, 0, 0, 1][..], &[0xff; 4]].concat(),
        );
        let list =
            |element: &[u8]| [&[0, 0, 0, 1, 0, 0, 0, element.len() as u8][..], element].concat();
        equal("frozen<list<varint>>", &list(&[0, 1]), &list(&[1]));
    }

    #[test]
    fn zeros_are_two_keys_and_one_feature() {
        let (minus, plus) = ((-0.0_f32).to_be_bytes(), 0.0_f32.to_be_bytes());
        assert_ne!(
            canonical("float", &minus, Zeros::Distinct),
            canonical("float", &plus, Zeros::Distinct)
        );
        assert_eq!(
            canonical("float", &minus, Zeros::Equal),
            canonical("float", &plus, Zeros::Equal)
        );
    }

    #[test]
    fn a_vector_of_floats_is_framed_as_its_elements_are() {
        let elements = [1.5_f32, -0.0, f32::from_bits(0xffc0_0001), f32::MIN];
        let bytes: Vec<u8> = elements.iter().flat_map(|v| v.to_be_bytes()).collect();
        for zeros in [Zeros::Equal, Zeros::Distinct] {
            let mut slow = Vec::new();
            let vector = CqlType::parse("vector<float, 4>").unwrap();
            assert!(append_parts(&vector, &bytes, zeros, &mut slow));
            let mut quick = Vec::new();
            append_value(&vector, &bytes, zeros, &mut quick);
            assert_eq!(quick, slow);
            // And an element as any other cell.
            let framed = |value: f32| {
                let mut out = vec![VALUE, 4, 0, 0, 0];
                append_value(&CqlType::Float, &value.to_be_bytes(), zeros, &mut out);
                out
            };
            assert_eq!(quick, elements.map(framed).concat());
        }
    }

    #[test]
    fn malformed_bytes_stand_for_themselves() {
        assert_eq!(
            canonical("frozen<list<int>>", &[9, 9], Zeros::Equal),
            [2, 2, 0, 0, 0, 9, 9]
        );
    }
}
