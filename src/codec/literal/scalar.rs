//! Literals of types with a single value.

use std::net::IpAddr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use num_bigint::BigInt;
use uuid::Uuid;

use crate::codec::cql_type::CqlType;

/// Decimals with more digits than this after the point, or an exponent, are written with `E`.
const PLAIN_DIGITS: i32 = 40;
const DAY_NANOS: i64 = 86_400_000_000_000;
const EPOCH: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();

/// Returns whether CQL writes the literal in single quotes.
pub(super) fn is_quoted(cql_type: &CqlType) -> bool {
    matches!(
        cql_type,
        CqlType::Ascii
            | CqlType::Text
            | CqlType::Inet
            | CqlType::Date
            | CqlType::Time
            | CqlType::Timestamp
    )
}

/// Returns `None` for bytes that are not a valid value, and for types without a literal.
pub(super) fn to_text(cql_type: &CqlType, bytes: &[u8]) -> Option<String> {
    Some(match cql_type {
        CqlType::Ascii | CqlType::Text => std::str::from_utf8(bytes).ok()?.to_owned(),
        CqlType::Tinyint => i8::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Smallint => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Int => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        CqlType::Bigint | CqlType::Counter => {
            i64::from_be_bytes(bytes.try_into().ok()?).to_string()
        }
        CqlType::Varint if !bytes.is_empty() => BigInt::from_signed_bytes_be(bytes).to_string(),
        CqlType::Decimal => {
            let (scale, unscaled) = bytes.split_first_chunk()?;
            if unscaled.is_empty() {
                return None;
            }
            decimal(i32::from_be_bytes(*scale), unscaled)
        }
        CqlType::Float => {
            let value = f32::from_be_bytes(bytes.try_into().ok()?);
            float(value.into(), format!("{value:?}"))
        }
        CqlType::Double => {
            let value = f64::from_be_bytes(bytes.try_into().ok()?);
            float(value, format!("{value:?}"))
        }
        CqlType::Boolean => match bytes {
            [0] => "false".to_owned(),
            [_] => "true".to_owned(),
            _ => return None,
        },
        CqlType::Uuid | CqlType::Timeuuid => Uuid::from_slice(bytes).ok()?.to_string(),
        CqlType::Inet => match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
            _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        },
        CqlType::Timestamp => timestamp(i64::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Date => date(u32::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Time => time(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

fn float(value: f64, finite: String) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value == f64::INFINITY {
        "Infinity".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        finite
    }
}

/// Formats a decimal with its scale: 1.00 is not written as 1.
fn decimal(scale: i32, unscaled: &[u8]) -> String {
    let number = BigInt::from_signed_bytes_be(unscaled);
    if !(0..=PLAIN_DIGITS).contains(&scale) {
        return format!("{number}E{}", -i64::from(scale));
    }
    let scale = scale as usize;
    let digits = format!("{:0>1$}", number.magnitude().to_string(), scale + 1);
    let sign = if number.sign() == num_bigint::Sign::Minus {
        "-"
    } else {
        ""
    };
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// Formats as RFC 3339 in UTC; years without such a form as milliseconds.
fn timestamp(milliseconds: i64) -> String {
    match DateTime::from_timestamp_millis(milliseconds) {
        Some(at) if (0..=9999).contains(&chrono::Datelike::year(&at)) => {
            at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
        }
        _ => milliseconds.to_string(),
    }
}

/// Formats as `YYYY-MM-DD`; years without such a form as the stored number.
fn date(stored: u32) -> String {
    let days = i64::from(stored) - (1 << 31);
    let date = match u64::try_from(days) {
        Ok(days) => EPOCH.checked_add_days(Days::new(days)),
        Err(_) => EPOCH.checked_sub_days(Days::new(days.unsigned_abs())),
    };
    match date {
        Some(date) if (0..=9999).contains(&chrono::Datelike::year(&date)) => date.to_string(),
        _ => stored.to_string(),
    }
}

fn time(nanos: i64) -> String {
    let midnight = NaiveTime::MIN;
    match (0..DAY_NANOS).contains(&nanos) {
        true => (midnight + TimeDelta::nanoseconds(nanos))
            .format("%H:%M:%S%.9f")
            .to_string(),
        false => nanos.to_string(),
    }
}

/// Parses one value. `text` is not trimmed here.
pub(super) fn from_text(cql_type: &CqlType, text: &str) -> Result<Vec<u8>, String> {
    let not = |what: &str| format!("`{text}` is not a valid {what}");
    if text == "0x" && !is_quoted(cql_type) && *cql_type != CqlType::Blob {
        return Ok(Vec::new());
    }
    let bytes = match cql_type {
        CqlType::Text => text.as_bytes().to_vec(),
        CqlType::Ascii if text.is_ascii() => text.as_bytes().to_vec(),
        CqlType::Ascii => return Err(not("ascii text")),
        CqlType::Tinyint => integer::<i8>(text, "tinyint")?.to_be_bytes().to_vec(),
        CqlType::Smallint => integer::<i16>(text, "smallint")?.to_be_bytes().to_vec(),
        CqlType::Int => integer::<i32>(text, "int")?.to_be_bytes().to_vec(),
        CqlType::Bigint | CqlType::Counter => {
            integer::<i64>(text, "bigint")?.to_be_bytes().to_vec()
        }
        CqlType::Varint => text
            .parse::<BigInt>()
            .map_err(|_| not("varint"))?
            .to_signed_bytes_be(),
        CqlType::Decimal => decimal_bytes(text).ok_or_else(|| not("decimal"))?,
        // Rust also parses NaN, inf and Infinity, in any case.
        CqlType::Float => text
            .parse::<f32>()
            .map_err(|_| not("float"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Double => text
            .parse::<f64>()
            .map_err(|_| not("double"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => vec![1],
            "false" => vec![0],
            _ => return Err(not("boolean: write true or false")),
        },
        CqlType::Blob => blob(text).ok_or_else(|| not("blob: write 0x and hexadecimal digits"))?,
        CqlType::Uuid => uuid(text).ok_or_else(|| not("uuid"))?.into_bytes().to_vec(),
        CqlType::Timeuuid => match uuid(text) {
            Some(uuid) if uuid.get_version_num() == 1 => uuid.into_bytes().to_vec(),
            _ => return Err(not("timeuuid (a uuid of version 1)")),
        },
        CqlType::Inet => match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => address.octets().to_vec(),
            Ok(IpAddr::V6(address)) => address.octets().to_vec(),
            Err(_) => return Err(not("inet address")),
        },
        CqlType::Timestamp => timestamp_millis(text)
            .ok_or_else(|| not("timestamp: write 2024-01-31T12:00:00.000Z or milliseconds"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Date => date_stored(text)
            .ok_or_else(|| not("date: write 2024-01-31"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Time => time_nanos(text)
            .ok_or_else(|| not("time: write 13:30:54.234"))?
            .to_be_bytes()
            .to_vec(),
        other => blob(text).ok_or_else(|| {
            format!(
                "helenus supports {other} values as bytes only: write 0x and hexadecimal digits"
            )
        })?,
    };
    Ok(bytes)
}

fn integer<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a valid {name}"))
}

fn blob(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .trim()
        .strip_prefix("0x")
        .or_else(|| text.trim().strip_prefix("0X"))?;
    hex::decode(digits).ok()
}

/// Parses the form with hyphens only, as CQL does.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::parse_str(text).ok())?
}

fn decimal_bytes(text: &str) -> Option<Vec<u8>> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let plain = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    // The library would accept `_` and a second sign.
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unscaled: BigInt = digits.parse().ok()?;
    let scale = i32::try_from(i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?).ok()?;
    Some([&scale.to_be_bytes()[..], &unscaled.to_signed_bytes_be()].concat())
}

/// Parses milliseconds, or a date with optional time and zone; UTC is the default.
fn timestamp_millis(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse() {
        return Some(milliseconds);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_millis());
    }
    let zoned = [
        "%Y-%m-%d %H:%M:%S%.f%z",
        "%Y-%m-%d %H:%M%z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%dT%H:%M%z",
    ];
    let local = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
    ];
    zoned
        .iter()
        .find_map(|form| DateTime::parse_from_str(text, form).ok())
        .map(|at| at.timestamp_millis())
        .or_else(|| {
            local
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
                .map(|at| at.and_utc().timestamp_millis())
        })
        .or_else(|| {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
        })
}

fn date_stored(text: &str) -> Option<u32> {
    if let Ok(stored) = text.parse() {
        return Some(stored);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.signed_duration_since(EPOCH).num_days();
    u32::try_from(days + (1 << 31)).ok()
}

fn time_nanos(text: &str) -> Option<i64> {
    if let Ok(nanos) = text.parse() {
        return (0..DAY_NANOS).contains(&nanos).then_some(nanos);
    }
    let time = ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(text, form).ok())?;
    // Cassandra's time type has no leap seconds.
    (time.nanosecond() < 1_000_000_000).then(|| {
        i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond())
    })
}
