//! Rounds numbers for people, never so that "not all" reads as "all" or "not none" as "none".

/// Maximum number of decimals.
const MOST_PLACES: usize = 17;
/// Maximum number of decimals of a percentage.
const PERCENT_PLACES: usize = 4;

/// Formats with this many decimals; more if the result would otherwise be 0, 1 or -1 by rounding.
pub fn fixed(value: f64, places: usize) -> String {
    let told = |places: usize| format!("{value:.places$}");
    let is_true = |text: &String| {
        let shown = text.parse::<f64>().unwrap_or(value);
        shown == value || ![0.0, 1.0].contains(&shown.abs())
    };
    let mut tries = (places..MOST_PLACES).map(told);
    tries.find(is_true).unwrap_or_else(|| told(MOST_PLACES))
}

/// Formats a share as a percentage without its sign: `50`, `96.1`, `0.12`, `99.996`, `> 99.9999`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let places = match percent {
        whole if whole == whole.round() => 0,
        percent if percent < 1.0 => 2,
        _ => 1,
    };
    let is_true = |text: &String| match text.parse::<f64>() {
        Ok(0.0) => share == 0.0,
        Ok(100.0) => share == 1.0,
        _ => true,
    };
    let mut tries = (places..=PERCENT_PLACES).map(|places| format!("{percent:.places$}"));
    tries.find(is_true).unwrap_or_else(|| {
        let nearly = match share < 0.5 {
            true => "< 0.0001",
            false => "> 99.9999",
        };
        nearly.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_not_all_and_few_are_not_none() {
        let told = [
            (0.5, "50"),
            (0.961_3, "96.1"),
            (0.001_23, "0.12"),
            (0.0, "0"),
            (1.0, "100"),
            (0.999_96, "99.996"),
            (0.999_5, "99.95"),
            (0.999_999_999_9, "> 99.9999"),
            (0.000_001, "0.0001"),
            (1e-12, "< 0.0001"),
            (1.0 - f64::EPSILON / 2.0, "> 99.9999"),
        ];
        for (share, text) in told {
            assert_eq!(percent(share), text, "{share}");
        }
    }

    #[test]
    fn places_grow_where_they_must() {
        assert_eq!(fixed(0.999_96, 4), "0.99996");
        assert_eq!(fixed(0.999_94, 4), "0.9999");
        assert_eq!(fixed(-0.999_96, 4), "-0.99996");
        assert_eq!(fixed(0.000_004, 4), "0.000004");
        assert_eq!(fixed(1.0, 4), "1.0000");
        assert_eq!(fixed(0.0, 2), "0.00");
        assert_ne!(fixed(1.0 - f64::EPSILON / 2.0, 4).parse::<f64>(), Ok(1.0));
    }
}
