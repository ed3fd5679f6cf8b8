//! Decides what a trigger does at a given time.
//!
//! The decision depends on the status, which is written back conditionally before the decision is
//! acted on. If two schedulers decide about the same tick, only one write succeeds; every scheduler
//! that continues finds the due time of that decision, from which the run's id follows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Key, Missed, Overlap, Trigger, TriggerStatus, When,
    after::Generation,
    duration::spoken,
    estimate::Estimate,
    tick::{Tick, tick},
};

/// Waiting time of a trigger on pending rows after a run that failed.
const AFTER_FAILURE: TimeDelta = TimeDelta::minutes(5);

/// Inputs of a decision besides trigger and status.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The job's state.
    pub job: JobIs,
    /// The job's open run.
    pub open: Option<OpenRun>,
    /// New events, for triggers that have no clock.
    pub news: News,
}

/// State of a job, as far as triggers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobIs {
    Active,
    Paused,
    Deleted,
}

/// An open run of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRun {
    pub run_id: Uuid,
    /// Whether a person requested it.
    pub asked_for: bool,
}

/// New events.
#[derive(Debug, Clone)]
pub enum News {
    /// None but the passage of time.
    None,
    /// Each upstream job has a new run; with the consumed runs as JSON.
    Generation(Generation, String),
    /// The alias moved; the cursor is the number of the change.
    Moved {
        at: DateTime<Utc>,
        /// Cursor after this event.
        cursor: String,
    },
    /// Alarms were opened.
    Alarmed {
        /// What the first of them says.
        what: String,
        /// Cursor after this event.
        cursor: String,
    },
    /// Number of pending rows.
    Waiting {
        /// By sample; `None`: not sampled yet.
        estimate: Option<Estimate>,
        /// By hints.
        hints: Option<Hints>,
        /// When the last run of this trigger ended, if it failed.
        failed_at: Option<DateTime<Utc>>,
    },
}

/// Rows of `changed_keys` since the last firing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Distinct keys, as many as a run over keys permits; `None`: there are more.
    pub keys: Option<Vec<Key>>,
    /// Number of distinct keys.
    pub count: u64,
    /// When the oldest was written.
    pub oldest: Option<DateTime<Utc>>,
    /// Cursor after a run for these hints.
    pub cursor: String,
    /// Whether a run over all pending rows is due, because hints may have been missed.
    pub overdue: bool,
}

/// A decided firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Due time, which determines the run's id.
    pub due: DateTime<Utc>,
    /// The next tick to decide about.
    pub next_due: Option<DateTime<Utc>>,
    /// Cursor after this firing.
    pub cursor: Option<String>,
    /// The rows to score; `None`: all pending ones.
    pub keys: Option<Vec<Key>>,
    /// The reason, if it is not obvious.
    pub why: Option<String>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Wait at least until then; with a reason if there is one.
    Wait {
        /// `None`: until an event.
        until: Option<DateTime<Utc>>,
        /// Explanation for people.
        reason: Option<String>,
    },
    /// Start a run.
    Fire(Firing),
    /// Start a run once the open run has ended.
    Queue(Firing, Uuid),
    /// Cancel the open run, then start a run.
    CancelThenFire(Firing, Uuid),
    /// Start no run; the tick or event is consumed.
    Skip {
        /// The next tick to decide about.
        next_due: Option<DateTime<Utc>>,
        /// Cursor after this event.
        cursor: Option<String>,
        reason: String,
    },
}

/// Decides about a ready trigger without a queued firing.
pub fn decide(
    trigger: &Trigger,
    status: &TriggerStatus,
    now: DateTime<Utc>,
    facts: Facts,
) -> Outcome {
    let (firing, is_late) = match (&trigger.when, facts.news) {
        (When::Scheduled(schedule), _) => match tick(trigger, schedule, status, now) {
            Tick::Due(firing, is_late) => (firing, is_late),
            Tick::Not(outcome) => return outcome,
        },
        (When::After(_), News::Generation(generation, cursor)) => {
            (event(generation.due, cursor), false)
        }
        (When::Promotion(_), News::Moved { at, cursor }) => (event(at, cursor), false),
        (When::Alarm(_), News::Alarmed { what, cursor }) => {
            let firing = Firing {
                why: Some(what),
                ..event(now, cursor)
            };
            (firing, false)
        }
        (
            When::Pending { rows, oldest, .. },
            News::Waiting {
                estimate,
                hints,
                failed_at,
            },
        ) => {
            if let Some(until) = failed_at
                .map(|at| at + AFTER_FAILURE)
                .filter(|until| now < *until)
            {
                return wait(
                    Some(until),
                    "the last run failed; the next one starts after 5m",
                );
            }
            if let Some(reason) = hindered(facts.job) {
                return wait(None, reason);
            }
            if let Some(open) = facts.open {
                return wait(None, &format!("run {} is open", open.run_id));
            }
            return match waiting((*rows, *oldest), estimate, hints, now) {
                Some(firing) => Outcome::Fire(Firing {
                    due: later_than_last(now, status),
                    ..firing
                }),
                None => Outcome::Wait {
                    until: None,
                    reason: None,
                },
            };
        }
        _ => {
            return Outcome::Wait {
                until: None,
                reason: None,
            };
        }
    };
    let firing = Firing {
        due: match trigger.when {
            When::Scheduled(_) => firing.due,
            // Two events may have the same time; two runs must not.
            _ => later_than_last(firing.due, status),
        },
        ..firing
    };
    let skip = |reason: String| Outcome::Skip {
        next_due: firing.next_due,
        cursor: firing.cursor.clone(),
        reason,
    };
    if let Some(reason) = hindered(facts.job) {
        return skip(reason.to_owned());
    }
    match (facts.open, trigger.overlap) {
        (None, _) => Outcome::Fire(firing),
        // Each missed tick gets its run, one after the other.
        (Some(open), _) if is_late && matches!(trigger.missed, Missed::All(_)) => {
            wait(None, &format!("missed ticks wait for run {}", open.run_id))
        }
        (Some(open), Overlap::Skip) => skip(format!("run {} is open", open.run_id)),
        (Some(open), Overlap::Cancel) if !open.asked_for => {
            Outcome::CancelThenFire(firing, open.run_id)
        }
        (Some(open), _) => Outcome::Queue(firing, open.run_id),
    }
}

/// The decision about a queued firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Plan its run now.
    Plan,
    /// Wait for the open run.
    Wait(Uuid),
    /// Cancel the open run first.
    Cancel(Uuid),
    /// Drop it, with the reason.
    Drop(String),
}

/// Decides about a queued firing, whose run has the id `own`.
pub fn resume(trigger: &Trigger, own: Uuid, job: JobIs, open: Option<OpenRun>) -> Resume {
    if let Some(reason) = hindered(job) {
        return Resume::Drop(reason.to_owned());
    }
    match open.filter(|open| open.run_id != own) {
        None => Resume::Plan,
        Some(open) => match trigger.overlap {
            Overlap::Skip => Resume::Drop(format!("run {} is open", open.run_id)),
            Overlap::Cancel if !open.asked_for => Resume::Cancel(open.run_id),
            Overlap::Cancel | Overlap::Queue => Resume::Wait(open.run_id),
        },
    }
}

/// Returns the next tick after a queued firing has its run: that run covers ticks that passed
/// meanwhile, unless each missed tick gets a run.
pub fn next_after_queue(
    trigger: &Trigger,
    next_due: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let When::Scheduled(schedule) = &trigger.when else {
        return next_due;
    };
    match (next_due, trigger.missed) {
        (Some(next), Missed::Once | Missed::Skip) if next <= now => schedule.next_after(now),
        _ => next_due,
    }
}

/// Returns the delay of a tick after its due time: uniformly distributed over the jitter, by a hash
/// of job, trigger and due time, so that all schedulers agree.
pub fn jitter(trigger: &Trigger, due: DateTime<Utc>) -> TimeDelta {
    let jitter = trigger.jitter.as_millis() as u64;
    if jitter == 0 {
        return TimeDelta::zero();
    }
    let text = format!(
        "{}\0{}\0{}",
        trigger.job,
        trigger.name,
        due.timestamp_millis()
    );
    TimeDelta::milliseconds((xxh3_64(text.as_bytes()) % jitter) as i64)
}

fn hindered(job: JobIs) -> Option<&'static str> {
    match job {
        JobIs::Active => None,
        JobIs::Paused => Some("the job is paused"),
        JobIs::Deleted => Some("the job was deleted"),
    }
}

fn wait(until: Option<DateTime<Utc>>, reason: &str) -> Outcome {
    Outcome::Wait {
        until,
        reason: Some(reason.to_owned()),
    }
}

fn event(due: DateTime<Utc>, cursor: String) -> Firing {
    Firing {
        due,
        next_due: None,
        cursor: Some(cursor),
        keys: None,
        why: None,
    }
}

fn later_than_last(due: DateTime<Utc>, status: &TriggerStatus) -> DateTime<Utc> {
    let due = DateTime::from_timestamp_millis(due.timestamp_millis()).unwrap_or(due);
    match status.last_due {
        Some(last) if due <= last => last + TimeDelta::milliseconds(1),
        _ => due,
    }
}

fn waiting(
    (rows, oldest): (Option<u64>, Option<Duration>),
    estimate: Option<Estimate>,
    hints: Option<Hints>,
    now: DateTime<Utc>,
) -> Option<Firing> {
    let enough = |count: u64| rows.is_some_and(|rows| count >= rows);
    let too_old = |since: Option<DateTime<Utc>>| {
        since.zip(oldest).is_some_and(|(since, oldest)| {
            (now - since).to_std().is_ok_and(|waits| waits >= oldest)
        })
    };
    let cursor = hints.as_ref().map(|hints| hints.cursor.clone());
    let firing = |keys, why| {
        Some(Firing {
            due: now,
            next_due: None,
            cursor: cursor.clone(),
            keys,
            why: Some(why),
        })
    };
    // The estimate comes first: its run also scores the hinted keys.
    if let Some(estimate) = estimate {
        if enough(estimate.pending) {
            return firing(None, format!("about {} rows are pending", estimate.pending));
        }
        if too_old(estimate.pending_since) {
            return firing(
                None,
                format!("rows have been pending for {}", spoken(oldest?)),
            );
        }
    }
    let hints = hints?;
    if hints.overdue {
        let why = "hints came too fast to recognise late ones; scanning for their rows";
        return firing(None, why.to_owned());
    }
    if hints.count > 0 && (enough(hints.count) || too_old(hints.oldest)) {
        return firing(hints.keys, format!("{} keys have hints", hints.count));
    }
    None
}
