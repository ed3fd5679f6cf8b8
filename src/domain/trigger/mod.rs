//! Triggers: rows that make jobs run automatically, and the decision to fire.
//!
//! - [`read`](Trigger::read): a row of `triggers` → a [`Trigger`], or all problems.
//! - [`schedule`]: cron and intervals, as due times in UTC.
//! - [`decide`]: the decision, a pure function of trigger, status and facts.
//! - [`after`]: upstream runs that a dependent job has yet to follow, and cycles.
//! - [`estimate`]: the number of pending rows and its error, from a sample.

pub mod after;
pub mod decide;
pub mod duration;
pub mod estimate;
pub mod hinted;
mod read;
pub mod schedule;
mod status;
mod tick;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

pub use status::{TriggerState, TriggerStatus};

use schedule::Schedule;

use super::alarm::pattern::AlarmPattern;

/// A key of a source row: column → CQL literal without quotes.
pub type Key = BTreeMap<String, String>;

/// A row of `triggers` as written by a person; only its key is certain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TriggerRow {
    pub job: String,
    pub name: String,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub every: Option<String>,
    pub pending_rows: Option<i64>,
    pub oldest_wait: Option<String>,
    pub use_hints: Option<bool>,
    pub after_job: Option<String>,
    pub on_promotion: Option<String>,
    /// Skipped where it is null, so that rows which are older keep their hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_alarm: Option<String>,
    pub overlap: Option<String>,
    pub missed: Option<String>,
    pub missed_limit: Option<i32>,
    pub jitter: Option<String>,
    pub deadline: Option<String>,
    pub scope: Option<String>,
    pub versions: Option<BTreeSet<i32>>,
    pub priority: Option<i32>,
    pub max_rows_per_s: Option<i32>,
    pub paused: Option<bool>,
    pub removed: Option<bool>,
    /// Its author, who does not affect decisions.
    #[serde(skip)]
    pub created_by: Option<String>,
    #[serde(skip)]
    pub note: Option<String>,
}

impl TriggerRow {
    /// Returns the xxh3-128 of the row's JSON without `created_by` and `note`, which changes with
    /// everything that affects decisions.
    pub fn hash(&self) -> Vec<u8> {
        // Plain strings and numbers always serialise.
        let json = serde_json::to_vec(self).unwrap_or_default();
        xxhash_rust::xxh3::xxh3_128(&json).to_be_bytes().to_vec()
    }
}

/// A valid trigger. Whether its job exists is not known here.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub job: String,
    /// Its name, unique among the job's triggers.
    pub name: String,
    /// The event that makes it fire.
    pub when: When,
    /// Behaviour if it fires while a run of the job is open.
    pub overlap: Overlap,
    /// Handling of ticks that no scheduler saw.
    pub missed: Missed,
    /// Maximum delay of a tick.
    pub jitter: Duration,
    /// Time after its due time when a run that has not ended is late.
    pub deadline: Option<Duration>,
    /// Whether unchanged rows are also scored (scope `all`).
    pub rewrite: bool,
    /// The versions to score; `None`: all of the job's.
    pub versions: Option<BTreeSet<i32>>,
    /// Higher values come first; the default is 0.
    pub priority: i32,
    /// Maximum number of rows per second.
    pub max_rows_per_s: Option<i32>,
}

/// The event that makes a trigger fire.
#[derive(Debug, Clone)]
pub enum When {
    /// Due times: cron or an interval.
    Scheduled(Schedule),
    /// Pending rows.
    Pending {
        /// Minimum number of pending rows.
        rows: Option<u64>,
        /// Minimum age of the oldest pending row.
        oldest: Option<Duration>,
        /// Whether `changed_keys` is read, too.
        hints: bool,
    },
    /// Each of these jobs has a new successful run.
    After(BTreeSet<String>),
    /// This alias of the job's model moved.
    Promotion(String),
    /// An alarm of the job that was not open before.
    Alarm(AlarmPattern),
}

/// `overlap`: behaviour if a run of the job is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The firing is skipped.
    Skip,
    /// One firing waits for the end of the run.
    Queue,
    /// As queue, but a run that a trigger started is cancelled; one that a person requested is not.
    Cancel,
}

/// `missed`: handling of ticks that passed while no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// One run for the newest tick.
    Once,
    /// One run for each of the newest ticks, at most this many.
    All(u32),
    /// No runs.
    Skip,
}
