//! This machine's clock against Cassandra's.

use chrono::TimeDelta;

use crate::domain::problem::Problem;

/// A clock further from Cassandra's opens no run and decides about no trigger.
pub const LIMIT: TimeDelta = TimeDelta::seconds(5);

/// Whether a clock that is `ahead` of Cassandra's (negative: behind) may be trusted.
///
/// # Errors
/// `clock.off`, beyond [`LIMIT`].
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
    .help("let NTP mend the clock that is wrong, this one or Cassandra's; `helenus doctor` shows the difference"))
}
