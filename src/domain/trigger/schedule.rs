//! Schedules: due times in UTC, by cron pattern or interval.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::{Cron, parser::CronParser};

use super::duration::spoken;

/// A schedule.
///
/// **Cron** follows Vixie cron at clock changes, as implemented by `croner`: a fixed time of day
/// that the clock skips is due right after the change, one that occurs twice is due the first time
/// only; patterns with `*` or a step in minutes or hours follow the wall clock. **Every** is
/// counted from 1970-01-01T00:00:00Z, so that all schedulers agree and a restart changes nothing:
/// `every 5m` is due at :00, :05, :10 …
#[derive(Debug, Clone)]
pub enum Schedule {
    /// By wall clock.
    Cron {
        /// The pattern.
        cron: Box<Cron>,
        /// Time zone of the wall clock.
        zone: Tz,
    },
    /// By interval.
    Every(Duration),
}

impl Schedule {
    /// Parses a cron pattern of five fields, or of six, the first of them seconds.
    ///
    /// # Errors
    /// A sentence: the pattern is invalid, or never due.
    pub fn cron(pattern: &str, zone: Tz) -> Result<Self, String> {
        let parser = CronParser::builder()
            .year(croner::parser::Year::Disallowed)
            .build();
        let cron = parser.parse(pattern).map_err(|error| error.to_string())?;
        let schedule = Self::Cron {
            cron: Box::new(cron),
            zone,
        };
        // Every Gregorian date occurs within eight years.
        match schedule.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err("the pattern is never due".to_owned()),
        }
    }

    /// Returns the first due time after `at`.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, zone } => {
                let local = at.with_timezone(zone);
                let next = cron.find_next_occurrence(&local, false).ok()?;
                Some(next.with_timezone(&Utc))
            }
            Self::Every(every) => {
                let every = i64::try_from(every.as_secs()).ok()?;
                let next = (at.timestamp().div_euclid(every) + 1) * every;
                DateTime::from_timestamp(next, 0)
            }
        }
    }

    /// Returns the last due time up to `at`.
    pub fn last_up_to(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, zone } => {
                // Truncated to seconds: croner's wall clock has no fractions.
                let at = DateTime::from_timestamp(at.timestamp(), 0)?;
                let local = at.with_timezone(zone);
                let last = cron.find_previous_occurrence(&local, true).ok()?;
                Some(last.with_timezone(&Utc))
            }
            Self::Every(every) => {
                let every = i64::try_from(every.as_secs()).ok()?;
                DateTime::from_timestamp(at.timestamp().div_euclid(every) * every, 0)
            }
        }
    }

    /// Returns the last due time before `at`.
    pub fn last_before(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.last_up_to(at - TimeDelta::seconds(1))
    }

    /// Returns the time zone of its wall clock.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Cron { zone, .. } => *zone,
            Self::Every(_) => Tz::UTC,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { cron, zone } => write!(f, "cron {} ({zone})", cron.as_str()),
            Self::Every(every) => write!(f, "every {}", spoken(*every)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn rome(pattern: &str) -> Schedule {
        Schedule::cron(pattern, Tz::Europe__Rome).unwrap()
    }

    /// Due times between two moments.
    fn between(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut now = at(from);
        while let Some(next) = schedule.next_after(now).filter(|next| *next <= at(to)) {
            found.push(next.format("%d %H:%M:%S").to_string());
            now = next;
        }
        found
    }

    #[test]
    fn a_time_that_the_clock_jumps_over_is_due_right_after_the_jump() {
        // 2027-03-28: 02:00 becomes 03:00 in Rome, at 01:00 UTC.
        let daily = rome("30 2 * * *");
        assert_eq!(
            between(&daily, "2027-03-27T00:00:00Z", "2027-03-29T12:00:00Z"),
            ["27 01:30:00", "28 01:00:00", "29 00:30:00"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_due_once_and_an_hourly_one_each_hour() {
        // 2027-10-31: 03:00 becomes 02:00 in Rome, at 01:00 UTC.
        let daily = rome("30 2 * * *");
        assert_eq!(
            between(&daily, "2027-10-30T12:00:00Z", "2027-11-01T12:00:00Z"),
            ["31 00:30:00", "01 01:30:00"]
        );
        let hourly = rome("30 * * * *");
        assert_eq!(
            between(&hourly, "2027-10-30T23:45:00Z", "2027-10-31T02:45:00Z"),
            ["31 00:30:00", "31 01:30:00", "31 02:30:00"]
        );
    }

    #[test]
    fn seconds_are_a_sixth_field_in_front() {
        let schedule = rome("*/20 * * * * *");
        assert_eq!(
            between(&schedule, "2027-01-01T00:00:00Z", "2027-01-01T00:01:00Z"),
            ["01 00:00:20", "01 00:00:40", "01 00:01:00"]
        );
    }

    #[test]
    fn intervals_are_counted_from_1970() {
        let every = Schedule::Every(Duration::from_secs(300));
        assert_eq!(
            every.next_after(at("2027-01-01T00:02:00Z")),
            Some(at("2027-01-01T00:05:00Z"))
        );
        assert_eq!(
            every.next_after(at("2027-01-01T00:05:00Z")),
            Some(at("2027-01-01T00:10:00Z"))
        );
        assert_eq!(
            every.last_up_to(at("2027-01-01T00:05:00.5Z")),
            Some(at("2027-01-01T00:05:00Z"))
        );
    }

    #[test]
    fn what_is_never_due_and_what_is_no_pattern_is_refused() {
        for pattern in [
            "0 0 30 2 *",
            "",
            "* * *",
            "61 * * * *",
            "* * * * * * 2027 *",
        ] {
            assert!(Schedule::cron(pattern, Tz::UTC).is_err(), "{pattern}");
        }
    }

    #[test]
    fn forwards_and_backwards_name_the_same_times_where_clocks_change() {
        for pattern in [
            "30 2 * * *",
            "*/15 * * * *",
            "0 */2 * * *",
            "15 1-3 * * *",
            "*/7 * * * * *",
        ] {
            let schedule = rome(pattern);
            for day in ["2027-03-27T22:00:00Z", "2027-10-30T22:00:00Z"] {
                let mut now = at(day);
                for _ in 0..500 {
                    let next = schedule.next_after(now).unwrap();
                    assert!(next > now, "{pattern} {now}");
                    assert_eq!(schedule.last_up_to(next), Some(next), "{pattern}");
                    now = next;
                    if now > at(day) + TimeDelta::hours(40) {
                        break;
                    }
                }
            }
        }
    }
}
