//! JSON values of types with a single value.

use std::fmt::Display;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{RawJson, clip, duration};
use crate::codec::{cql_type::CqlType, literal};

/// Most digits of a varint or decimal: reading them takes quadratic time.
const DIGITS: usize = 10_000;
/// Longest text of a date, time, address or uuid.
const LONGEST: usize = 128;

/// Appends the bytes of a value.
pub(super) fn write(
    cql_type: &CqlType,
    json: RawJson<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match json {
        RawJson::Number(digits) => match cql_type {
            CqlType::Timestamp => integer::<i64, 8>(digits, "timestamp", i64::to_be_bytes, out),
            _ if is_number(cql_type) => number(cql_type, digits, out),
            _ => Err(format!(
                "the number {} is not a valid {cql_type}: write a string",
                clip(digits)
            )),
        },
        RawJson::Text(text) => self::text(cql_type, &text, out),
        RawJson::Boolean(truth) if *cql_type == CqlType::Boolean => {
            out.push(u8::from(truth));
            Ok(())
        }
        RawJson::Object(text) if *cql_type == CqlType::Blob => base64(text, out),
        other => Err(format!("{} is not a valid {cql_type}", other.kind())),
    }
}

/// Appends the bytes of `{"b64": "…"}`, the spelling of TensorFlow Serving: hexadecimal digits
/// would take half as much again.
fn base64(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Encoded<'a> {
        #[serde(borrow)]
        b64: std::borrow::Cow<'a, str>,
    }
    let encoded: Encoded<'_> = serde_json::from_str(text)
        .map_err(|_| "an object is not a valid blob: write {\"b64\": \"…\"}".to_owned())?;
    STANDARD
        .decode_vec(encoded.b64.as_bytes(), out)
        .map_err(|error| format!("the blob is not valid base64: {error}"))
}

fn is_number(cql_type: &CqlType) -> bool {
    matches!(
        cql_type,
        CqlType::Float
            | CqlType::Double
            | CqlType::Tinyint
            | CqlType::Smallint
            | CqlType::Int
            | CqlType::Bigint
            | CqlType::Counter
            | CqlType::Varint
            | CqlType::Decimal
    )
}

fn text(cql_type: &CqlType, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let invalid = |remedy: &str| {
        Err(format!(
            "`{}` is not a valid {cql_type}{remedy}",
            clip(text)
        ))
    };
    match cql_type {
        CqlType::Text => out.extend_from_slice(text.as_bytes()),
        CqlType::Ascii if text.is_ascii() => out.extend_from_slice(text.as_bytes()),
        CqlType::Ascii => return invalid(": it has characters that are not ASCII"),
        CqlType::Blob => match hex::decode(text.strip_prefix("0x").unwrap_or(text)) {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(_) => return invalid(": write 0x and hexadecimal digits"),
        },
        // The empty value, which is not null.
        _ if text == "0x" => {}
        _ if is_number(cql_type) => return number(cql_type, text, out),
        CqlType::Duration => match duration::parse(text) {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => return invalid(": write 1mo2d3h, or P1M2DT3H"),
        },
        _ if text.len() > LONGEST => return invalid(""),
        _ => out.extend_from_slice(&literal::from_text(cql_type, text)?),
    }
    Ok(())
}

/// Appends a number from the digits of a JSON number or the content of a string.
fn number(cql_type: &CqlType, digits: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let invalid = || format!("`{}` is not a valid {cql_type}", clip(digits));
    match cql_type {
        // Rust rounds correctly, and also reads NaN, inf and Infinity, in any case.
        CqlType::Float => {
            let value: f32 = digits.parse().map_err(|_| invalid())?;
            check_range(value.is_infinite(), digits, "float")?;
            out.extend_from_slice(&value.to_be_bytes());
            Ok(())
        }
        CqlType::Double => {
            let value: f64 = digits.parse().map_err(|_| invalid())?;
            check_range(value.is_infinite(), digits, "double")?;
            out.extend_from_slice(&value.to_be_bytes());
            Ok(())
        }
        CqlType::Tinyint => integer::<i8, 1>(digits, "tinyint", i8::to_be_bytes, out),
        CqlType::Smallint => integer::<i16, 2>(digits, "smallint", i16::to_be_bytes, out),
        CqlType::Int => integer::<i32, 4>(digits, "int", i32::to_be_bytes, out),
        CqlType::Bigint => integer::<i64, 8>(digits, "bigint", i64::to_be_bytes, out),
        CqlType::Counter => integer::<i64, 8>(digits, "counter", i64::to_be_bytes, out),
        _ if digits.len() > DIGITS => Err(format!(
            "a {cql_type} of {} characters is too long: {DIGITS} are the limit",
            digits.len()
        )),
        // The library would accept `_` between digits.
        CqlType::Varint if digits.contains('_') => Err(invalid()),
        _ => {
            let bytes = literal::from_text(cql_type, digits).map_err(|_| invalid())?;
            out.extend_from_slice(&bytes);
            Ok(())
        }
    }
}

/// Refuses digits that rounded to infinity; the word for infinity has none.
fn check_range(is_infinite: bool, digits: &str, name: &str) -> Result<(), String> {
    match is_infinite && digits.bytes().any(|byte| byte.is_ascii_digit()) {
        true => Err(format!("`{}` is out of range of {name}", clip(digits))),
        false => Ok(()),
    }
}

/// Bounds of an integer type.
trait Bounded: std::str::FromStr + Display {
    const MIN: Self;
    const MAX: Self;
}

macro_rules! bounded {
    ($($integer:ty),*) => {$(
        impl Bounded for $integer {
            const MIN: Self = <$integer>::MIN;
            const MAX: Self = <$integer>::MAX;
        }
    )*};
}

bounded!(i8, i16, i32, i64);

fn integer<T: Bounded, const N: usize>(
    digits: &str,
    name: &str,
    bytes: fn(T) -> [u8; N],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let value: T = digits.parse().map_err(|_| {
        format!(
            "`{}` is not a valid {name}: write an integer from {} to {}",
            clip(digits),
            T::MIN,
            T::MAX
        )
    })?;
    out.extend_from_slice(&bytes(value));
    Ok(())
}
