//! CQL's binary format of composed values: lists, maps, tuples, vectors.

use super::cql_type::CqlType;

/// The bytes are not a valid value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The parts of a composed value in order: a list's or vector's elements, a map's alternating keys
/// and values, a tuple's or user type's fields (trailing ones may be missing).
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    rest: &'a [u8],
    left: usize,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    /// i32 length before each part, -1 for null.
    Length,
    /// The same, but the value may end early.
    LengthUntilEnd,
    /// Elements of this many bytes.
    Fixed(usize),
    /// Unsigned vint length before each element.
    Vint,
}

impl<'a> Parts<'a> {
    /// Opens `bytes` as a value of `cql_type`; `None` if the type is not composed.
    pub fn open(cql_type: &CqlType, bytes: &'a [u8]) -> Option<Result<Self, Malformed>> {
        let counted = |each: usize| {
            let (head, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
            let count = usize::try_from(i32::from_be_bytes(*head)).map_err(|_| Malformed)?;
            Ok(Self {
                rest,
                left: count.checked_mul(each).ok_or(Malformed)?,
                framing: Framing::Length,
            })
        };
        Some(match cql_type.thawed() {
            CqlType::List(_) | CqlType::Set(_) => counted(1),
            CqlType::Map(..) => counted(2),
            CqlType::Tuple(fields) => Ok(Self {
                rest: bytes,
                left: fields.len(),
                framing: Framing::LengthUntilEnd,
            }),
            CqlType::Udt(_, fields) => Ok(Self {
                rest: bytes,
                left: fields.len(),
                framing: Framing::LengthUntilEnd,
            }),
            CqlType::Vector(element, width) => Ok(Self {
                rest: bytes,
                left: usize::from(*width),
                framing: fixed_size(element).map_or(Framing::Vint, Framing::Fixed),
            }),
            _ => return None,
        })
    }

    /// Returns the number of remaining parts; for a tuple the maximum.
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// Returns whether all bytes were consumed.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0 && self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (part, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(part)
    }

    fn part(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.framing {
            Framing::Length | Framing::LengthUntilEnd => {
                let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
                self.rest = rest;
                match usize::try_from(i32::from_be_bytes(*head)) {
                    Ok(length) => self.take(length).map(Some),
                    Err(_) => Ok(None),
                }
            }
            Framing::Fixed(size) => self.take(size).map(Some),
            Framing::Vint => {
                let (length, rest) = unsigned_vint(self.rest).ok_or(Malformed)?;
                self.rest = rest;
                self.take(usize::try_from(length).map_err(|_| Malformed)?)
                    .map(Some)
            }
        }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || (self.framing == Framing::LengthUntilEnd && self.rest.is_empty()) {
            self.left = 0;
            return None;
        }
        self.left -= 1;
        let part = self.part();
        if part.is_err() {
            self.left = 0;
        }
        Some(part)
    }
}

/// Returns the type of part `index` of a composed type.
pub fn part_type(cql_type: &CqlType, index: usize) -> Option<&CqlType> {
    match cql_type.thawed() {
        CqlType::List(element) | CqlType::Set(element) | CqlType::Vector(element, _) => {
            Some(element)
        }
        CqlType::Map(key, _) if index.is_multiple_of(2) => Some(key),
        CqlType::Map(_, value) => Some(value),
        CqlType::Tuple(fields) => fields.get(index),
        CqlType::Udt(_, fields) => fields.get(index).map(|(_, cql_type)| cql_type),
        _ => None,
    }
}

/// Returns the size of a vector's element, if elements are not preceded by their length. Cassandra
/// excludes smallint, tinyint, date and time, whose sizes are fixed everywhere else.
pub fn fixed_size(element: &CqlType) -> Option<usize> {
    match element.thawed() {
        CqlType::Boolean => Some(1),
        CqlType::Int | CqlType::Float => Some(4),
        CqlType::Bigint | CqlType::Double | CqlType::Timestamp => Some(8),
        CqlType::Uuid | CqlType::Timeuuid => Some(16),
        CqlType::Vector(inner, width) => Some(fixed_size(inner)? * usize::from(*width)),
        _ => None,
    }
}

/// Reads an unsigned vint, which has as many leading one bits as bytes follow.
pub fn unsigned_vint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let extra = first.leading_ones() as usize;
    let (tail, rest) = rest.split_at_checked(extra)?;
    let head = match extra {
        0..7 => u64::from(first & (0xff >> (extra + 1))),
        _ => 0,
    };
    let value = tail
        .iter()
        .fold(head, |value, &byte| (value << 8) | u64::from(byte));
    Some((value, rest))
}

/// Inserts an element's length as an unsigned vint before its bytes, which begin at `start`.
pub fn insert_vint_length(start: usize, out: &mut Vec<u8>) {
    let mut head = Vec::with_capacity(9);
    write_unsigned_vint((out.len() - start) as u64, &mut head);
    out.splice(start..start, head);
}

pub fn write_unsigned_vint(value: u64, out: &mut Vec<u8>) {
    let bits = (64 - value.leading_zeros()) as usize;
    let extra = match bits {
        0..=56 => bits.saturating_sub(1) / 7,
        _ => 8,
    };
    let bytes = value.to_be_bytes();
    if extra == 8 {
        out.push(0xff);
        out.extend_from_slice(&bytes);
        return;
    }
    let ones = !(0xff_u32 >> extra) as u8;
    out.push(ones | bytes[7 - extra]);
    out.extend_from_slice(&bytes[8 - extra..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vints_of_the_protocol_specification() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x80]),
            (16_383, &[0xbf, 0xff]),
            (16_384, &[0xc0, 0x40, 0x00]),
            (u64::MAX, &[0xff; 9]),
        ] {
            let mut out = Vec::new();
            write_unsigned_vint(value, &mut out);
            assert_eq!(out, bytes, "{value}");
        }
    }

    proptest! {
        #[test]
        fn vints_read_back(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write_unsigned_vint(value, &mut out);
            out.push(0xaa);
            prop_assert_eq!(unsigned_vint(&out), Some((value, &[0xaa][..])));
        }
    }

    #[test]
    fn a_tuple_may_end_early_and_a_list_may_not() {
        let tuple = CqlType::parse("tuple<int, int>").unwrap();
        let parts: Vec<_> = Parts::open(&tuple, &[0, 0, 0, 1, 9])
            .unwrap()
            .unwrap()
            .collect();
        assert_eq!(parts, [Ok(Some(&[9][..]))]);
        let list = CqlType::parse("list<int>").unwrap();
        let parts: Vec<_> = Parts::open(&list, &[0, 0, 0, 2, 255, 255, 255, 255])
            .unwrap()
            .unwrap()
            .collect();
        assert_eq!(parts, [Ok(None), Err(Malformed)]);
    }
}
