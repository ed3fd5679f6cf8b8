//! Cell values as people write them: CQL literals, without quotes at the outermost level.
//!
//! Inside collections texts are quoted as CQL wants them, so what is printed can be pasted.

use std::{fmt::Write, net::IpAddr, str::FromStr};

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use num_bigint::BigInt;
use uuid::Uuid;

use super::{
    cql_type::CqlType,
    wire::{Parts, fixed_size, part_type, write_unsigned_vint},
};

/// The value as text: `café`, `-1.5`, `0x00ff`, `2024-02-29`, `[1, 2]`. Bytes that are no value of
/// the type are printed as a blob, so nothing is ever hidden.
pub fn to_text(cql_type: &CqlType, bytes: &[u8]) -> String {
    known(cql_type, bytes).unwrap_or_else(|| format!("0x{}", hex::encode(bytes)))
}

fn known(cql_type: &CqlType, bytes: &[u8]) -> Option<String> {
    let empty_is_a_value = matches!(
        cql_type.thawed(),
        CqlType::Text | CqlType::Ascii | CqlType::Blob
    );
    if bytes.is_empty() && !empty_is_a_value {
        return Some(String::new());
    }
    Some(match cql_type.thawed() {
        CqlType::Text | CqlType::Ascii => std::str::from_utf8(bytes).ok()?.to_owned(),
        CqlType::Tinyint => i8::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Smallint => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Int => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Bigint | CqlType::Counter => {
            i64::from_be_bytes(bytes.try_into().ok()?).to_string()
        }
        CqlType::Varint => BigInt::from_signed_bytes_be(bytes).to_string(),
        CqlType::Decimal => decimal_text(bytes)?,
        CqlType::Float => float_text(f32::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Double => float_text(f64::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Boolean => (bytes != [0]).to_string(),
        CqlType::Uuid | CqlType::Timeuuid => Uuid::from_slice(bytes).ok()?.to_string(),
        CqlType::Inet => inet_text(bytes)?,
        CqlType::Date => date_text(u32::from_be_bytes(bytes.try_into().ok()?))?,
        CqlType::Time => time_text(i64::from_be_bytes(bytes.try_into().ok()?))?,
        CqlType::Timestamp => timestamp_text(i64::from_be_bytes(bytes.try_into().ok()?))?,
        composed => composed_text(composed, bytes)?,
    })
}

/// Rust prints the shortest digits that read back the same; whole numbers keep a point.
fn float_text(value: impl Into<f64> + std::fmt::Debug + Copy) -> String {
    let wide: f64 = value.into();
    if wide.is_nan() {
        "NaN".to_owned()
    } else if wide.is_infinite() {
        if wide > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

fn decimal_text(bytes: &[u8]) -> Option<String> {
    let (scale, unscaled) = bytes.split_first_chunk()?;
    let scale = i64::from(i32::from_be_bytes(*scale));
    let unscaled = BigInt::from_signed_bytes_be(unscaled);
    // Far exponents are written with one: plain digits could fill the memory.
    if scale.abs() > 100 {
        return Some(format!("{unscaled}E{}", -scale));
    }
    Some(BigDecimal::new(unscaled, scale).to_plain_string())
}

fn inet_text(bytes: &[u8]) -> Option<String> {
    let address: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        16 => <[u8; 16]>::try_from(bytes).ok()?.into(),
        _ => return None,
    };
    Some(address.to_string())
}

/// Days since 1970-01-01, shifted by 2^31.
fn date_text(shifted: u32) -> Option<String> {
    let days = i64::from(shifted) - (1 << 31);
    let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(days)?)?;
    Some(date.format("%Y-%m-%d").to_string())
}

/// Nanoseconds since midnight.
fn time_text(nanoseconds: i64) -> Option<String> {
    let seconds = u32::try_from(nanoseconds / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest)?;
    Some(time.format("%H:%M:%S%.9f").to_string())
}

/// Milliseconds since 1970.
fn timestamp_text(milliseconds: i64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(milliseconds)?;
    Some(at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

fn composed_text(cql_type: &CqlType, bytes: &[u8]) -> Option<String> {
    let parts: Vec<Option<&[u8]>> = Parts::open(cql_type, bytes)?
        .ok()?
        .collect::<Result<_, _>>()
        .ok()?;
    let inner = |(index, part): (usize, &Option<&[u8]>)| {
        let inner_type = part_type(cql_type, index)?;
        Some(part.map_or_else(|| "null".to_owned(), |bytes| quoted(inner_type, bytes)))
    };
    let texts: Vec<String> = parts.iter().enumerate().map(inner).collect::<Option<_>>()?;
    let list = texts.join(", ");
    Some(match cql_type {
        CqlType::List(_) | CqlType::Vector(..) => format!("[{list}]"),
        CqlType::Set(_) => format!("{{{list}}}"),
        CqlType::Tuple(_) => format!("({list})"),
        CqlType::Map(..) => {
            let pairs: Vec<_> = texts.chunks(2).map(|pair| pair.join(": ")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        CqlType::Udt(_, fields) => {
            let fields = fields.iter().zip(&texts);
            let pairs: Vec<_> = fields
                .map(|((name, _), text)| format!("{name}: {text}"))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => return None,
    })
}

fn is_quoted(cql_type: &CqlType) -> bool {
    matches!(
        cql_type.thawed(),
        CqlType::Text
            | CqlType::Ascii
            | CqlType::Inet
            | CqlType::Date
            | CqlType::Time
            | CqlType::Timestamp
    )
}

fn quoted(cql_type: &CqlType, bytes: &[u8]) -> String {
    let text = to_text(cql_type, bytes);
    match is_quoted(cql_type) {
        true => format!("'{}'", text.replace('\'', "''")),
        false => text,
    }
}

/// The value's bytes, from text as [`to_text`] writes it; timestamps also in the other spellings
/// of CQL (`2024-02-29 12:00:00+0100`, milliseconds).
///
/// # Errors
/// What the text is not, for the person who wrote it.
pub fn from_text(cql_type: &CqlType, text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{text}` is no {cql_type}");
    let number = text.trim();
    macro_rules! parsed {
        ($type:ty) => {
            number
                .parse::<$type>()
                .map_err(|_| wrong())?
                .to_be_bytes()
                .to_vec()
        };
    }
    Ok(match cql_type.thawed() {
        CqlType::Text => text.as_bytes().to_vec(),
        CqlType::Ascii if text.is_ascii() => text.as_bytes().to_vec(),
        CqlType::Tinyint => parsed!(i8),
        CqlType::Smallint => parsed!(i16),
        CqlType::Int => parsed!(i32),
        CqlType::Bigint => parsed!(i64),
        CqlType::Float => parsed!(f32),
        CqlType::Double => parsed!(f64),
        CqlType::Varint => BigInt::from_str(number)
            .map_err(|_| wrong())?
            .to_signed_bytes_be(),
        CqlType::Decimal => {
            let (unscaled, scale) = BigDecimal::from_str(number)
                .map_err(|_| wrong())?
                .into_bigint_and_exponent();
            let scale = i32::try_from(scale).map_err(|_| wrong())?;
            [&scale.to_be_bytes()[..], &unscaled.to_signed_bytes_be()].concat()
        }
        CqlType::Boolean => match number.to_ascii_lowercase().as_str() {
            "true" => vec![1],
            "false" => vec![0],
            _ => return Err(wrong()),
        },
        CqlType::Blob => {
            let digits = number
                .strip_prefix("0x")
                .or_else(|| number.strip_prefix("0X"));
            let digits = digits.ok_or_else(|| format!("{}: a blob starts with 0x", wrong()))?;
            hex::decode(digits).map_err(|_| wrong())?
        }
        CqlType::Uuid => Uuid::try_parse(number)
            .map_err(|_| wrong())?
            .into_bytes()
            .to_vec(),
        CqlType::Timeuuid => match Uuid::try_parse(number) {
            Ok(id) if id.get_version_num() == 1 => id.into_bytes().to_vec(),
            _ => return Err(wrong()),
        },
        CqlType::Inet => match IpAddr::from_str(number).map_err(|_| wrong())? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        CqlType::Date => {
            let date = NaiveDate::parse_from_str(number, "%Y-%m-%d").map_err(|_| wrong())?;
            let days = (date - NaiveDate::default()).num_days() + (1 << 31);
            u32::try_from(days)
                .map_err(|_| wrong())?
                .to_be_bytes()
                .to_vec()
        }
        CqlType::Time => {
            let time = NaiveTime::parse_from_str(number, "%H:%M:%S%.f").map_err(|_| wrong())?;
            let seconds = i64::from(time.num_seconds_from_midnight());
            (seconds * 1_000_000_000 + i64::from(time.nanosecond()))
                .to_be_bytes()
                .to_vec()
        }
        CqlType::Timestamp => timestamp(number).ok_or_else(wrong)?.to_be_bytes().to_vec(),
        composed => composed_bytes(composed, number).ok_or_else(wrong)?,
    })
}

fn timestamp(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse() {
        return Some(milliseconds);
    }
    let zoned = [
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M%#z",
    ];
    if let Some(at) = zoned
        .iter()
        .find_map(|format| DateTime::parse_from_str(text, format).ok())
    {
        return Some(at.timestamp_millis());
    }
    if let Ok(at) = DateTime::<Utc>::from_str(text) {
        return Some(at.timestamp_millis());
    }
    // Cassandra reads a time without zone in the server's zone: here that is UTC, always.
    let plain = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ];
    let at = plain
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let at = at.or_else(|| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    })?;
    Some(at.and_utc().timestamp_millis())
}

fn composed_bytes(cql_type: &CqlType, text: &str) -> Option<Vec<u8>> {
    let (open, close) = match cql_type {
        CqlType::List(_) | CqlType::Vector(..) => ('[', ']'),
        CqlType::Tuple(_) => ('(', ')'),
        CqlType::Set(_) | CqlType::Map(..) | CqlType::Udt(..) => ('{', '}'),
        _ => return None,
    };
    let inner = text.strip_prefix(open)?.strip_suffix(close)?;
    let items = split_outside(inner, ',')?;
    let keyed = matches!(cql_type, CqlType::Map(..) | CqlType::Udt(..));
    let parts: Vec<&str> = match keyed {
        false => items,
        true => {
            let pairs: Option<Vec<_>> = items
                .iter()
                .map(|item| Some(split_outside(item, ':')?.try_into().ok()?))
                .collect();
            let pairs: Vec<[&str; 2]> = pairs?;
            match cql_type {
                CqlType::Udt(_, fields) => fields
                    .iter()
                    .map(|(name, _)| {
                        pairs
                            .iter()
                            .find(|pair| pair[0] == name)
                            .map_or("null", |pair| pair[1])
                    })
                    .collect(),
                _ => pairs.concat(),
            }
        }
    };
    let mut out = Vec::new();
    match cql_type {
        CqlType::Map(..) => {
            out.extend_from_slice(&(i32::try_from(parts.len() / 2).ok()?).to_be_bytes())
        }
        CqlType::List(_) | CqlType::Set(_) => {
            out.extend_from_slice(&(i32::try_from(parts.len()).ok()?).to_be_bytes())
        }
        CqlType::Vector(_, width) if parts.len() != usize::from(*width) => return None,
        CqlType::Tuple(fields) if parts.len() != fields.len() => return None,
        _ => {}
    }
    for (index, part) in parts.into_iter().enumerate() {
        let inner = part_type(cql_type, index)?;
        if part == "null" {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let bytes = from_text(inner, &unquoted(inner, part)?).ok()?;
        match (cql_type, fixed_size(inner)) {
            (CqlType::Vector(..), Some(_)) => {}
            (CqlType::Vector(..), None) => write_unsigned_vint(bytes.len() as u64, &mut out),
            _ => out.extend_from_slice(&(i32::try_from(bytes.len()).ok()?).to_be_bytes()),
        }
        out.extend_from_slice(&bytes);
    }
    Some(out)
}

fn unquoted(cql_type: &CqlType, text: &str) -> Option<String> {
    if !is_quoted(cql_type) {
        return Some(text.to_owned());
    }
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inner.replace("''", "'"))
}

/// Splits at `separator` outside quotes and brackets; the empty text has no parts.
fn split_outside(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut in_quotes, mut start) = (0_i32, false, 0);
    for (at, character) in text.char_indices() {
        match character {
            '\'' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            _ if character == separator && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    if depth != 0 || in_quotes {
        return None;
    }
    if !text.trim().is_empty() {
        parts.push(text[start..].trim());
    }
    Some(parts)
}

/// A key for people: `id = 7` or `clinic = 'north', patient = 3`, ready for a WHERE clause.
pub fn condition<'a>(
    key: impl Iterator<Item = (&'a str, &'a CqlType, Option<&'a [u8]>)>,
) -> String {
    let mut text = String::new();
    for (name, cql_type, cell) in key {
        let separator = if text.is_empty() { "" } else { " AND " };
        let value = cell.map_or_else(|| "null".to_owned(), |cell| quoted(cql_type, cell));
        // Writing to a String never fails.
        let _ = write!(text, "{separator}{name} = {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{condition, from_text, to_text};
    use crate::domain::cql_type::CqlType;

    fn cql(text: &str) -> CqlType {
        CqlType::parse(text).unwrap()
    }

    #[test]
    fn texts_of_every_type_read_back_the_same() {
        for (cql_type, text) in [
            ("text", "it's; a \"café\""),
            ("text", ""),
            ("ascii", "plain"),
            ("tinyint", "-128"),
            ("smallint", "32767"),
            ("int", "-2147483648"),
            ("bigint", "9223372036854775807"),
            ("varint", "-123456789012345678901234567890"),
            ("decimal", "-0.00100"),
            ("decimal", "1E400"),
            ("float", "0.1"),
            ("float", "NaN"),
            ("double", "1e-300"),
            ("double", "-Infinity"),
            ("boolean", "true"),
            ("blob", "0x00ff"),
            ("blob", "0x"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
            ("timeuuid", "50554d6e-29bb-11e5-b345-feff819cdc9f"),
            ("inet", "192.168.0.1"),
            ("inet", "2001:db8::1"),
            ("date", "2024-02-29"),
            ("date", "1900-01-01"),
            ("time", "23:59:59.123456789"),
            ("timestamp", "2007-07-07T07:07:07.007Z"),
            ("timestamp", "1969-12-31T23:59:59.999Z"),
            ("frozen<list<int>>", "[1, 2, -3]"),
            ("frozen<list<int>>", "[]"),
            ("frozen<set<text>>", "{'a', 'it''s, [so]'}"),
            (
                "frozen<map<text, frozen<list<int>>>>",
                "{'a': [1, 2], 'b': []}",
            ),
            ("frozen<tuple<int, text, uuid>>", "(1, 'x', null)"),
            ("vector<float, 3>", "[1.5, 2.0, 3.0]"),
            ("vector<text, 2>", "['a', 'bc']"),
        ] {
            let cql_type = cql(cql_type);
            let bytes = from_text(&cql_type, text).unwrap();
            assert_eq!(to_text(&cql_type, &bytes), text, "{cql_type}");
        }
    }

    #[test]
    fn other_spellings_of_a_timestamp_are_read() {
        let bytes = 1_709_200_800_000_i64.to_be_bytes();
        for text in [
            "1709200800000",
            "2024-02-29T10:00:00Z",
            "2024-02-29 11:00:00+0100",
            "2024-02-29 10:00",
        ] {
            assert_eq!(
                from_text(&CqlType::Timestamp, text).unwrap(),
                bytes,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_the_type() {
        for (cql_type, text) in [
            ("int", "12.5"),
            ("tinyint", "128"),
            ("blob", "ff"),
            ("boolean", "yes"),
            ("ascii", "é"),
            ("date", "2023-02-29"),
            ("timeuuid", "123e4567-e89b-42d3-a456-426614174000"),
            ("vector<float, 3>", "[1, 2]"),
            ("frozen<list<int>>", "[1, 2"),
        ] {
            let error = from_text(&cql(cql_type), text).unwrap_err();
            assert!(error.contains("is no"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_value_are_shown_as_they_are() {
        assert_eq!(to_text(&CqlType::Int, &[1, 2]), "0x0102");
        assert_eq!(to_text(&CqlType::Text, &[0xff]), "0xff");
    }

    #[test]
    fn a_key_reads_as_a_condition() {
        let id = 7_i32.to_be_bytes();
        let key = [
            ("id", &CqlType::Int, Some(&id[..])),
            ("site", &CqlType::Text, Some(&b"o'k"[..])),
        ];
        assert_eq!(condition(key.into_iter()), "id = 7 AND site = 'o''k'");
    }

    proptest! {
        #[test]
        fn numbers_read_back_bit_for_bit(double in any::<f64>(), float in any::<f32>(), long in any::<i64>()) {
            prop_assume!(!double.is_nan() && !float.is_nan());
            for (cql_type, bytes) in [
                (CqlType::Double, double.to_be_bytes().to_vec()),
                (CqlType::Float, float.to_be_bytes().to_vec()),
                (CqlType::Bigint, long.to_be_bytes().to_vec()),
            ] {
                let text = to_text(&cql_type, &bytes);
                prop_assert_eq!(from_text(&cql_type, &text).unwrap(), bytes, "{}", text);
            }
        }

        #[test]
        fn lists_of_any_text_read_back(texts in prop::collection::vec(".*", 0..5)) {
            let cql_type = cql("frozen<list<text>>");
            let mut bytes = (texts.len() as i32).to_be_bytes().to_vec();
            for text in &texts {
                bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            prop_assert_eq!(from_text(&cql_type, &to_text(&cql_type, &bytes)).unwrap(), bytes);
        }
    }
}
