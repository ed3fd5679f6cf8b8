//! Cells of numbers and times from the values of an Arrow array: exact, or refused.
//!
//! The functions take what reads a value by its index, and return what appends its cell; `None` if the
//! CQL type does not hold such values.

use num_bigint::BigInt;

use crate::codec::cql_type::CqlType;

/// Appends the bytes of the value at an index, which is not null.
pub(super) type Append<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), String> + 'a>;

const DAY_NANOS: i64 = 86_400_000_000_000;

pub(super) fn integer<'a>(
    cql_type: &'a CqlType,
    value: impl Fn(usize) -> i128 + 'a,
) -> Option<Append<'a>> {
    macro_rules! narrow {
        ($integer:ty) => {
            Box::new(move |at, out: &mut Vec<u8>| {
                let value = value(at);
                let narrow = <$integer>::try_from(value)
                    .map_err(|_| format!("{value} is out of range of {cql_type}"))?;
                out.extend_from_slice(&narrow.to_be_bytes());
                Ok(())
            })
        };
    }
    macro_rules! floating {
        ($float:ty) => {
            Box::new(move |at, out: &mut Vec<u8>| {
                let value = value(at);
                let near = value as $float;
                if near as i128 != value {
                    return Err(format!("{value} is not exact as a {cql_type}"));
                }
                out.extend_from_slice(&near.to_be_bytes());
                Ok(())
            })
        };
    }
    Some(match cql_type {
        CqlType::Tinyint => narrow!(i8),
        CqlType::Smallint => narrow!(i16),
        CqlType::Int => narrow!(i32),
        // An integer is a timestamp in milliseconds, as in JSON.
        CqlType::Bigint | CqlType::Counter | CqlType::Timestamp => narrow!(i64),
        CqlType::Float => floating!(f32),
        CqlType::Double => floating!(f64),
        CqlType::Varint | CqlType::Decimal => return decimal(cql_type, 0, value),
        _ => return None,
    })
}

/// Doubles hold the values of all Arrow floats exactly.
pub(super) fn float<'a>(
    cql_type: &'a CqlType,
    value: impl Fn(usize) -> f64 + 'a,
) -> Option<Append<'a>> {
    Some(match cql_type {
        CqlType::Double => Box::new(move |at, out| {
            out.extend_from_slice(&value(at).to_be_bytes());
            Ok(())
        }),
        CqlType::Float => Box::new(move |at, out| {
            let value = value(at);
            let near = value as f32;
            if f64::from(near) != value && !value.is_nan() {
                return Err(format!(
                    "{value} is not exact as a float; cast the column to float32 to round"
                ));
            }
            out.extend_from_slice(&near.to_be_bytes());
            Ok(())
        }),
        _ => return None,
    })
}

pub(super) fn decimal<'a>(
    cql_type: &'a CqlType,
    scale: i8,
    value: impl Fn(usize) -> i128 + 'a,
) -> Option<Append<'a>> {
    match cql_type {
        CqlType::Decimal => Some(Box::new(move |at, out| {
            out.extend_from_slice(&i32::from(scale).to_be_bytes());
            out.extend_from_slice(&BigInt::from(value(at)).to_signed_bytes_be());
            Ok(())
        })),
        CqlType::Varint if scale == 0 => Some(Box::new(move |at, out| {
            out.extend_from_slice(&BigInt::from(value(at)).to_signed_bytes_be());
            Ok(())
        })),
        _ => None,
    }
}

/// `nanos`: nanoseconds since midnight; `None` if they exceed 64 bits.
pub(super) fn time<'a>(
    cql_type: &'a CqlType,
    nanos: impl Fn(usize) -> Option<i64> + 'a,
) -> Option<Append<'a>> {
    (*cql_type == CqlType::Time).then_some(())?;
    Some(Box::new(move |at, out| {
        let nanos = nanos(at).filter(|nanos| (0..DAY_NANOS).contains(nanos));
        let nanos = nanos.ok_or("the time is not within a day")?;
        out.extend_from_slice(&nanos.to_be_bytes());
        Ok(())
    }))
}

/// `millis`: milliseconds since 1970; `None` if they are not a whole 64-bit number.
pub(super) fn timestamp<'a>(
    cql_type: &'a CqlType,
    millis: impl Fn(usize) -> Option<i64> + 'a,
) -> Option<Append<'a>> {
    (*cql_type == CqlType::Timestamp).then_some(())?;
    Some(Box::new(move |at, out| {
        let millis = millis(at).ok_or("the time is not a whole number of milliseconds")?;
        out.extend_from_slice(&millis.to_be_bytes());
        Ok(())
    }))
}
