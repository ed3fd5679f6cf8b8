//! Durations in rows: whole seconds up to ten years, written as [`duration`] parses them.

use std::time::Duration;

use crate::domain::duration;
pub use crate::domain::duration::render as spoken;

/// Maximum duration in seconds: ten years, so that no sum of times overflows.
const MAX_SECONDS: u64 = 10 * 366 * 86_400;

/// Parses a duration of whole seconds, such as `30s`, `5m` or `7d`.
///
/// # Errors
/// A message with the text and the valid form or range.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    match (duration.as_secs(), duration.subsec_nanos()) {
        (1..=MAX_SECONDS, 0) => Ok(duration),
        (1..=MAX_SECONDS, _) => Err(format!("invalid duration `{text}`: use whole seconds")),
        _ => Err(format!("duration `{text}` is not between 1s and 3660d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds_up_to_ten_years() {
        for text in ["1s", "90s", "5m", "1h", "36h", "7d", "3660d"] {
            assert_eq!(spoken(parse(text).unwrap()), text);
        }
        for wrong in [
            "",
            "5",
            "m",
            "500ms",
            "1500ms",
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
