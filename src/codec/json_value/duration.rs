//! CQL durations from text: `1y2mo3w4d5h6m7s8ms9us10ns`, `P1Y2M3DT4H5M6S`, `P3W` and
//! `P0001-02-03T04:05:06`, each with an optional `-` before it.

use crate::codec::wire::write_unsigned_vint;

/// The three numbers of a duration, by their place in its binary form.
const MONTHS: usize = 0;
const DAYS: usize = 1;
const NANOS: usize = 2;

/// Units in the order in which a text has them: name, the number that it counts in, its size there.
type Units = [(&'static str, usize, i64)];

const SECOND: i64 = 1_000_000_000;
const STANDARD: &Units = &[
    ("y", MONTHS, 12),
    ("mo", MONTHS, 1),
    ("w", DAYS, 7),
    ("d", DAYS, 1),
    ("h", NANOS, 3_600 * SECOND),
    ("m", NANOS, 60 * SECOND),
    ("s", NANOS, SECOND),
    ("ms", NANOS, 1_000_000),
    ("us", NANOS, 1_000),
    ("ns", NANOS, 1),
];
const ISO_DATE: &Units = &[("y", MONTHS, 12), ("m", MONTHS, 1), ("d", DAYS, 1)];
const ISO_WEEKS: &Units = &[("w", DAYS, 7)];
const ISO_TIME: &Units = &[
    ("h", NANOS, 3_600 * SECOND),
    ("m", NANOS, 60 * SECOND),
    ("s", NANOS, SECOND),
];

/// Returns the binary form, which may also be given in hexadecimal digits after `0x`.
pub(super) fn parse(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return hex::decode(digits).ok();
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut numbers = [0; 3];
    match text.strip_prefix('P') {
        Some(iso) if iso.contains('-') => alternative(iso, &mut numbers)?,
        Some(iso) if iso.ends_with('W') => add(iso, ISO_WEEKS, &mut numbers)?,
        Some(iso) => {
            let (date, time) = iso.split_once('T').unwrap_or((iso, ""));
            add(date, ISO_DATE, &mut numbers)?;
            add(time, ISO_TIME, &mut numbers)?;
        }
        None if text.is_empty() => return None,
        None => add(text, STANDARD, &mut numbers)?,
    }
    if numbers[MONTHS].max(numbers[DAYS]) > i64::from(i32::MAX) {
        return None;
    }
    let mut bytes = Vec::with_capacity(9);
    for number in numbers {
        let signed = sign * number;
        // Zigzag: small numbers of either sign are short.
        write_unsigned_vint(((signed << 1) ^ (signed >> 63)) as u64, &mut bytes);
    }
    Some(bytes)
}

/// Adds numbers with units, each at most once and in the order of `units`.
fn add(mut text: &str, mut units: &Units, numbers: &mut [i64; 3]) -> Option<()> {
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, rest) = text.split_at(digits);
        let end = rest.find(|c: char| c.is_ascii_digit());
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let name = name.to_ascii_lowercase().replace('µ', "u");
        let at = units.iter().position(|(unit, ..)| *unit == name)?;
        let (_, place, size) = units[at];
        let value = count.parse::<i64>().ok()?.checked_mul(size)?;
        numbers[place] = numbers[place].checked_add(value)?;
        (text, units) = (rest, &units[at + 1..]);
    }
    Some(())
}

/// Reads `YYYY-MM-DDThh:mm:ss`.
fn alternative(text: &str, numbers: &mut [i64; 3]) -> Option<()> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let is_form = text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == *form,
        });
    if !is_form {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    numbers[MONTHS] = number(0..4)? * 12 + number(5..7)?;
    numbers[DAYS] = number(8..10)?;
    let seconds = number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    numbers[NANOS] = seconds * SECOND;
    Some(())
}
