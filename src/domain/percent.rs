//! Exact decimal percentages. In binary, 29 % of 100 are 28.999 999 999 999 996.

use std::fmt;

/// Maximum number of decimals.
const MAX_DECIMALS: usize = 12;

/// 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    /// The digits without the point.
    digits: u64,
    /// Number of decimals.
    decimals: u32,
}

impl Percent {
    /// A tenth of a percent.
    pub const ONE_IN_A_THOUSAND: Self = Self {
        digits: 1,
        decimals: 1,
    };

    /// Ten percent.
    pub const TEN: Self = Self {
        digits: 10,
        decimals: 0,
    };

    /// Parses `29%`, `0.1 %`: digits with at most one point, up to 100.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > MAX_DECIMALS {
            return None;
        }
        let digits: u64 = format!("0{whole}{fraction}").parse().ok()?;
        let decimals = fraction.len() as u32;
        let percent = Self { digits, decimals };
        (u128::from(digits) <= 100 * percent.unit()).then_some(percent)
    }

    /// Returns this percentage of `rows`, computed exactly and rounded down.
    pub fn of_rows(self, rows: u64) -> u64 {
        let covered = u128::from(rows) * u128::from(self.digits) / (100 * self.unit());
        // At most `rows`.
        u64::try_from(covered).unwrap_or(rows)
    }

    /// Returns the share between 0 and 1, rounded: for estimates.
    pub fn share(self) -> f64 {
        self.digits as f64 / (100 * self.unit()) as f64
    }

    fn unit(self) -> u128 {
        10_u128.pow(self.decimals)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, unit) = (u128::from(self.digits), self.unit());
        write!(f, "{}", digits / unit)?;
        if digits % unit != 0 {
            let fraction = format!("{:0width$}", digits % unit, width = self.decimals as usize);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str(" %")
    }
}

#[cfg(test)]
mod tests {
    use super::Percent;

    #[test]
    fn every_whole_percentage_of_a_hundred_rows_is_that_many_rows() {
        for percent in 0..=100_u64 {
            let parsed = Percent::parse(&format!("{percent}%")).unwrap();
            assert_eq!(parsed.of_rows(100), percent);
            assert_eq!(
                parsed.of_rows(u64::MAX / 100 * 100),
                u64::MAX / 100 * percent
            );
        }
        for thousandths in 0..=100_000_u64 {
            let text = format!("{}.{:03}%", thousandths / 1_000, thousandths % 1_000);
            assert_eq!(Percent::parse(&text).unwrap().of_rows(100_000), thousandths);
        }
    }

    #[test]
    fn percentages_are_read_and_shown_as_people_write_them() {
        for (text, shown) in [
            ("29%", "29 %"),
            (" 0.1 % ", "0.1 %"),
            ("100.000%", "100 %"),
            (".5%", "0.5 %"),
            ("057%", "57 %"),
            ("0.000000000001%", "0.000000000001 %"),
        ] {
            assert_eq!(Percent::parse(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "29",
            "%",
            ".%",
            "-1%",
            "+1%",
            "100.1%",
            "1e1%",
            "1.2.3%",
            "1_0%",
            "NaN%",
            "0.0000000000001%",
        ] {
            assert_eq!(Percent::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Percent::parse("0.100%"), Some(Percent::ONE_IN_A_THOUSAND));
        assert_eq!(Percent::ONE_IN_A_THOUSAND.of_rows(1_999), 1);
    }
}
