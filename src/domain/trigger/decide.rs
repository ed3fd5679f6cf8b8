//! The one decision: what happens to a trigger at a moment.
//!
//! It is made from the status, which is written back conditionally before anything is done about
//! it: of two schedulers that decide about the same tick only one is heard, and whoever goes on
//! from there finds the due time that was decided, from which the run's id follows.

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

/// After a run that failed, a trigger on pending rows waits for so long.
const AFTER_FAILURE: TimeDelta = TimeDelta::minutes(5);

/// What is known beside trigger and status.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whether anything may start by itself.
    pub job: JobIs,
    /// A run of the job that is being worked on.
    pub open: Option<OpenRun>,
    /// What happened, for triggers that have no clock.
    pub news: News,
}

/// A job, as far as triggers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum JobIs {
    Active,
    Paused,
    Deleted,
}

/// A run in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub run_id: Uuid,
    /// A person asked for it.
    pub asked_for: bool,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum News {
    /// Nothing beside the clock's going on.
    None,
    /// Each upstream job has a new run; its taken runs as JSON.
    Generation(Generation, String),
    /// The alias moved: the number of the change, as the cursor has it.
    Moved {
        /// When.
        at: DateTime<Utc>,
        /// What is seen with it.
        cursor: String,
    },
    /// How many rows wait.
    Waiting {
        /// By sample; `None`: not looked yet.
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
    /// Each key once, as many as a run over keys takes; `None`: there are more.
    pub keys: Option<Vec<Key>>,
    /// How many, each once.
    pub count: u64,
    /// When the oldest was written.
    pub oldest: Option<DateTime<Utc>>,
    /// Up to where they were read.
    pub cursor: String,
}

/// A decided firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// From which the run's id follows.
    pub due: DateTime<Utc>,
    /// The next tick to decide about.
    pub next_due: Option<DateTime<Utc>>,
    /// What is seen with it.
    pub cursor: Option<String>,
    /// Only these rows.
    pub keys: Option<Vec<Key>>,
    /// Why now, beside the obvious.
    pub why: Option<String>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until then at least; why, if there is something to say.
    Wait {
        /// `None`: until something happens.
        until: Option<DateTime<Utc>>,
        /// For who asks why it did not fire.
        reason: Option<String>,
    },
    /// A run.
    Fire(Firing),
    /// A run once that one has ended.
    Queue(Firing, Uuid),
    /// That one is cancelled, and then a run.
    CancelThenFire(Firing, Uuid),
    /// No run; the tick or the event is passed.
    Skip {
        /// The next tick to decide about.
        next_due: Option<DateTime<Utc>>,
        /// What is seen with it.
        cursor: Option<String>,
        /// Why.
        reason: String,
    },
}

/// Decides about a ready trigger of which nothing is queued.
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
                    "the last run failed; the next one waits for 5m",
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
            // Two events may bear the same time; two runs may not.
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
        // Each missed tick was promised its run: one after the other.
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

/// What happens to a firing that was decided and is not planned yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Its run is planned now.
    Plan,
    /// It waits for the open run.
    Wait(Uuid),
    /// The open run is to be cancelled first.
    Cancel(Uuid),
    /// It is dropped.
    Drop(String),
}

/// Decides about a queued firing, whose run will have the id `own`.
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

/// The next tick once a firing that waited in the queue has its run: ticks that passed meanwhile
/// are that run's, unless each was promised its own.
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

/// How much later than its due time a tick is served: spread evenly over the jitter, by a hash of
/// job, trigger and due time, so that all schedulers agree.
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
    // The estimate comes first: its run scores what is hinted at, too.
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
    if hints.count > 0 && (enough(hints.count) || too_old(hints.oldest)) {
        return firing(hints.keys, format!("{} keys were hinted at", hints.count));
    }
    None
}
