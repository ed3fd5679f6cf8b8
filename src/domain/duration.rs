//! Durations as people write them: a whole number and a unit, such as `500ms`, `30s` or `7d`.
//!
//! This is the one grammar for settings, manifests and triggers; each of them has its own bounds.

use std::time::Duration;

/// Units with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a duration. Blanks are permitted around the number and the unit.
///
/// # Errors
/// A message with the text and the valid form.
pub fn parse(text: &str) -> Result<Duration, String> {
    parse_parts(text.trim())
        .ok_or_else(|| format!("invalid duration `{text}`: use a number and ms, s, m, h or d"))
}

fn parse_parts(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start();
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*milliseconds).map(Duration::from_millis)
}

/// Renders a duration, to the millisecond, in the largest unit that needs no fraction.
pub fn render(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let fits = |unit: u64| milliseconds >= unit.into() && milliseconds.is_multiple_of(unit.into());
    match UNITS.iter().find(|(_, unit)| fits(*unit)) {
        Some((name, unit)) => format!("{}{name}", milliseconds / u128::from(*unit)),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_parsed_and_rendered_alike() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("1ms", 1),
            ("1500ms", 1_500),
            ("90s", 90_000),
            ("5m", 300_000),
            ("36h", 129_600_000),
            ("7d", 604_800_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse(text), Ok(duration));
            assert_eq!(render(duration), text);
        }
        assert_eq!(render(Duration::from_secs(3_600)), "1h");
    }

    #[test]
    fn blanks_are_permitted_around_number_and_unit() {
        for text in ["2m", "2 m", " 2m ", "2\tm", "120s", "002m"] {
            assert_eq!(parse(text), Ok(Duration::from_secs(120)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_valid_form() {
        for wrong in [
            "",
            "5",
            "m",
            "-5m",
            "+5m",
            "1.5h",
            "5x",
            "5w",
            "5M",
            "5 m s",
            "1h30m",
            "5mss",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            let message = parse(wrong).unwrap_err();
            let form = format!("invalid duration `{wrong}`: use a number and ms, s, m, h or d");
            assert_eq!(message, form);
        }
    }
}
