//! Ticks: which one is due, which ones were missed, and clocks that go back.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Missed, Trigger, TriggerStatus,
    decide::{Firing, Outcome, jitter},
    schedule::Schedule,
};

/// A tick that is handled later than this was missed: no scheduler ran.
const GRACE: TimeDelta = TimeDelta::seconds(60);
/// Maximum step back of a clock for which helenus waits.
const BACK: TimeDelta = TimeDelta::hours(1);
/// Maximum number of missed ticks counted.
const COUNTED: u32 = 1_000;

/// State of a trigger's clock.
pub(super) enum Tick {
    /// A tick is due; with whether it was missed.
    Due(Firing, bool),
    /// No tick is due.
    Not(Outcome),
}

/// Returns the tick to decide about now, if any.
pub(super) fn tick(
    trigger: &Trigger,
    schedule: &Schedule,
    status: &TriggerStatus,
    now: DateTime<Utc>,
) -> Tick {
    let Some(next) = status.next_due else {
        return Tick::Not(Outcome::Wait {
            until: None,
            reason: None,
        });
    };
    if next > now {
        return Tick::Not(ahead(schedule, status, next, now));
    }
    let ready = |due: DateTime<Utc>| due + jitter(trigger, due) <= now;
    let mut latest = schedule
        .last_up_to(now)
        .filter(|last| *last >= next)
        .unwrap_or(next);
    while latest > next && !ready(latest) {
        latest = schedule
            .last_before(latest)
            .filter(|last| *last >= next)
            .unwrap_or(next);
    }
    if !ready(latest) {
        return Tick::Not(Outcome::Wait {
            until: Some(latest + jitter(trigger, latest)),
            reason: None,
        });
    }
    // The tick after the last ready one may also have passed, and wait for its jitter.
    let following = schedule.next_after(latest);
    let is_late = now - latest > GRACE + TimeDelta::from_std(trigger.jitter).unwrap_or_default();
    let firing = |due, next_due, why| Firing {
        due,
        next_due,
        cursor: None,
        keys: None,
        why,
    };
    match trigger.missed {
        Missed::Skip if is_late => Tick::Not(Outcome::Skip {
            next_due: following,
            cursor: None,
            reason: format!(
                "{} passed while no scheduler ran",
                ticks(passed(schedule, next, latest) + 1)
            ),
        }),
        Missed::Once | Missed::Skip => {
            let missed = passed(schedule, next, latest);
            let why = (missed > 0).then(|| format!("also covers {} before it", ticks(missed)));
            Tick::Due(firing(latest, following, why), is_late)
        }
        Missed::All(limit) => {
            let mut first = latest;
            for _ in 1..limit {
                match schedule.last_before(first).filter(|last| *last >= next) {
                    Some(before) => first = before,
                    None => break,
                }
            }
            let why =
                (first > next).then(|| format!("ticks older than the last {limit} are skipped"));
            Tick::Due(
                firing(first, schedule.next_after(first), why),
                now - first > GRACE,
            )
        }
    }
}

/// Returns the number of ticks from `from` to `to`, excluding `to`.
fn passed(schedule: &Schedule, from: DateTime<Utc>, to: DateTime<Utc>) -> u32 {
    if let Schedule::Every(every) = schedule {
        let ticks =
            (to - from).num_seconds() / i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
        return u32::try_from(ticks).unwrap_or(u32::MAX).min(COUNTED);
    }
    let (mut count, mut at) = (0, from);
    while at < to && count < COUNTED {
        count += 1;
        at = schedule.next_after(at).unwrap_or(to);
    }
    count
}

fn ticks(count: u32) -> String {
    match count {
        1 => "1 tick".to_owned(),
        COUNTED.. => format!("{COUNTED} ticks or more"),
        count => format!("{count} ticks"),
    }
}

/// Handles a next tick in the future. If another one comes before it, the clock has gone back since
/// that decision: by at most an hour, then ticks that were handled are not repeated; by more, then
/// the earlier clock is not trusted. A due time that recurs is the same run.
fn ahead(
    schedule: &Schedule,
    status: &TriggerStatus,
    next: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Outcome {
    let served = status
        .last_due
        .filter(|last| *last > now && *last - now <= BACK);
    let expected = schedule.next_after(served.unwrap_or(now));
    match expected {
        Some(expected) if expected < next => Outcome::Skip {
            next_due: Some(expected),
            cursor: None,
            reason: format!("the clock went back: {expected} comes before {next}"),
        },
        _ => Outcome::Wait {
            until: Some(next),
            reason: None,
        },
    }
}
