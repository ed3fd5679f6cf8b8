//! Compares this machine's clock with Cassandra's.

use chrono::TimeDelta;

use crate::domain::problem::Problem;

/// Largest difference from Cassandra's clock at which this process opens runs and decides about
/// triggers.
pub const LIMIT: TimeDelta = TimeDelta::seconds(5);

/// Checks a clock that is `ahead` of Cassandra's (negative: behind).
///
/// # Errors
/// `clock.off`: the difference exceeds [`LIMIT`].
pub fn check(ahead: TimeDelta) -> Result<(), Problem> {
    if ahead.abs() <= LIMIT {
        return Ok(());
    }
    let direction = if ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    Err(Problem::new(
        "clock.off",
        format!(
            "this machine's clock is {:.1} s {direction} Cassandra's",
            ahead.abs().as_seconds_f64()
        ),
    )
    .help("let NTP correct the wrong clock, this one or Cassandra's; `helenus doctor` shows the difference"))
}
