//! Durations as people write them in rows: `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// Longest duration taken: ten years, so that no sum of times overflows.
const LONGEST_S: u64 = 10 * 366 * 86_400;

/// A whole number and its unit: s, m, h, d.
///
/// # Errors
/// A sentence for who wrote it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write 30s, 5m, 1h or 7d");
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(seconds) {
        Some(seconds) if (1..=LONGEST_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is not between 1s and 3660d")),
    }
}

/// The same, in the largest unit that needs no fraction.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_said_alike() {
        for text in ["1s", "90s", "5m", "1h", "36h", "7d", "3660d"] {
            assert_eq!(spoken(parse(text).unwrap()), text);
        }
        for wrong in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "1.5h",
            "0s",
            "4000d",
            "5w",
            "99999999999999999999s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
