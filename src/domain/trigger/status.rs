//! A scheduler's state of a trigger, in `trigger_status`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Key, estimate::Estimate};
use crate::domain::spelling::spelled;

/// `trigger_status.state`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TriggerState {
    /// It fires.
    Ready,
    /// It does not fire because of the problems listed.
    #[default]
    Invalid,
    /// It does not fire, on request.
    Paused,
    /// Its row was deleted: it does not fire unless the row is written again.
    Removed,
}

spelled! {
    TriggerState {
        Ready => "ready",
        Invalid => "invalid",
        Paused => "paused",
        Removed => "removed",
    }
}

/// A row of `trigger_status`. Times are whole milliseconds, as Cassandra keeps them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriggerStatus {
    pub job: String,
    pub name: String,
    /// Incremented by each write, which is conditional on it; 0: not written yet.
    pub seq: i32,
    /// Whether it fires.
    pub state: TriggerState,
    /// Problems, one per line.
    pub problems: Vec<String>,
    /// The event that makes it fire, for people.
    pub fires: Option<String>,
    /// The first undecided tick, without jitter.
    pub next_due: Option<DateTime<Utc>>,
    /// Due time of the newest firing with an outcome.
    pub last_due: Option<DateTime<Utc>>,
    /// The run that it started or joined.
    pub last_run: Option<Uuid>,
    /// fired, joined, queued, cancelling, skipped, refused or delayed.
    pub last_outcome: Option<String>,
    /// The reason of the outcome.
    pub last_reason: Option<String>,
    /// When the outcome was noted.
    pub last_at: Option<DateTime<Utc>>,
    /// Due time of a firing that was decided but is not planned yet.
    pub queued_due: Option<DateTime<Utc>>,
    /// Its keys, if hints gave them.
    pub queued_keys: Option<Vec<Key>>,
    /// The newest estimate.
    pub estimate: Option<Estimate>,
    /// Events that were consumed: upstream runs, a change of an alias, hints.
    pub cursor: Option<String>,
    /// [`super::TriggerRow::hash`] of the row to which this applies.
    pub row_hash: Vec<u8>,
    /// The process that decided.
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
}

impl TriggerStatus {
    /// Notes the outcome of a firing, or why there was none.
    pub fn note(&mut self, outcome: &str, reason: Option<String>, now: DateTime<Utc>) {
        self.last_outcome = Some(outcome.to_owned());
        self.last_reason = reason;
        self.last_at = Some(now);
    }

    /// Clears the queued firing.
    pub fn settle(&mut self) {
        if self.queued_due.is_some() {
            self.last_due = self.queued_due;
        }
        self.queued_due = None;
        self.queued_keys = None;
    }
}
