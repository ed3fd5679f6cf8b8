//! What a scheduler keeps about a trigger, in `trigger_status`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Key, estimate::Estimate};

/// `trigger_status.state`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TriggerState {
    /// It fires.
    Ready,
    /// It does not, for the problems listed.
    #[default]
    Invalid,
    /// It does not, on request.
    Paused,
    /// Nor ever again, unless its row comes back.
    Removed,
}

impl TriggerState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Invalid => "invalid",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }

    /// The other way round.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ready, Self::Invalid, Self::Paused, Self::Removed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A row of `trigger_status`. Times are whole milliseconds, as Cassandra keeps them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriggerStatus {
    /// Its key.
    pub job: String,
    /// Its key.
    pub name: String,
    /// Raised by each write, which is conditional on it; 0: not written yet.
    pub seq: i32,
    /// Whether it fires.
    pub state: TriggerState,
    /// Why not, a line each.
    pub problems: Vec<String>,
    /// What makes it fire, in words.
    pub fires: Option<String>,
    /// The first tick that is not decided yet, without jitter.
    pub next_due: Option<DateTime<Utc>>,
    /// Due time of the newest firing that came to something.
    pub last_due: Option<DateTime<Utc>>,
    /// The run it made, or joined.
    pub last_run: Option<Uuid>,
    /// fired, joined, queued, cancelling, skipped, refused or delayed.
    pub last_outcome: Option<String>,
    /// Why.
    pub last_reason: Option<String>,
    /// When that was.
    pub last_at: Option<DateTime<Utc>>,
    /// Decided, and not planned yet.
    pub queued_due: Option<DateTime<Utc>>,
    /// Its keys, where hints gave them.
    pub queued_keys: Option<Vec<Key>>,
    /// The newest one.
    pub estimate: Option<Estimate>,
    /// What was seen already: upstream runs, a change of an alias, hints.
    pub cursor: Option<String>,
    /// [`super::TriggerRow::hash`] of the row that this answers.
    pub row_hash: Vec<u8>,
    /// The process that decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
}

impl TriggerStatus {
    /// Notes what came of a firing or why there was none.
    pub fn note(&mut self, outcome: &str, reason: Option<String>, now: DateTime<Utc>) {
        self.last_outcome = Some(outcome.to_owned());
        self.last_reason = reason;
        self.last_at = Some(now);
    }

    /// Nothing is decided and unplanned any more.
    pub fn settle(&mut self) {
        if self.queued_due.is_some() {
            self.last_due = self.queued_due;
        }
        self.queued_due = None;
        self.queued_keys = None;
    }
}
