//! Numbers formatted for people.

use crate::domain::rounding;

/// Renders a count as 1 234 567, with narrow no-break spaces.
pub fn count(rows: u64) -> String {
    let digits = rows.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Renders a number with four decimals below one and fewer above; very small and very large numbers
/// get a power of ten.
pub fn value(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !size.is_finite() => value.to_string(),
        size if !(0.000_1..1e7).contains(&size) => format!("{value:.2e}").replace('-', "−"),
        size if size < 1.0 => rounding::fixed(value, 4).replace('-', "−"),
        size if size < 10.0 => format!("{value:.3}").replace('-', "−"),
        size if size < 1_000.0 => format!("{value:.2}").replace('-', "−"),
        _ => format!("{value:.1}").replace('-', "−"),
    }
}

/// Renders a number that always has a sign.
pub fn signed(number: f64) -> String {
    match number > 0.0 {
        true => format!("+{}", value(number)),
        false => value(number),
    }
}

/// Renders `low to high`; an empty text without an interval.
pub fn interval(ends: Option<(f64, f64)>, render: fn(f64) -> String) -> String {
    ends.map_or_else(String::new, |(low, high)| {
        format!("{} to {}", render(low), render(high))
    })
}

/// Renders a share as 12.3 %; 100 % only if it is exactly all, 0 % only if it is exactly none.
pub fn percent(share: f64) -> String {
    format!("{}\u{202f}%", rounding::percent(share))
}

/// Renders a p-value.
pub fn p(value: f64) -> String {
    match value < 0.000_1 {
        true => "< 0.0001".to_owned(),
        false => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_what_they_are() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((count(0).as_str(), count(999).as_str()), ("0", "999"));
        assert_eq!(value(-0.5), "−0.5000");
        assert_eq!(value(0.000_012_3), "1.23e−5");
        assert_eq!(
            (value(0.0).as_str(), value(1_234.56).as_str()),
            ("0", "1234.6")
        );
        assert_eq!(signed(0.25), "+0.2500");
        assert_eq!(percent(0.5), "50\u{202f}%");
        assert_eq!(percent(0.001_23), "0.12\u{202f}%");
        assert_eq!(percent(0.999_96), "99.996\u{202f}%");
        assert_eq!(value(0.999_96), "0.99996");
        assert_eq!(interval(Some((-1.0, 2.0)), signed), "−1.000 to +2.000");
        assert_eq!(p(0.000_01), "< 0.0001");
    }
}
