//! When jobs run by themselves: a person's row, what it says, and what is decided at a moment.
//!
//! - [`read`](Trigger::read): a row of `triggers` → a [`Trigger`], or everything that is wrong.
//! - [`schedule`]: cron and intervals, as due times in UTC.
//! - [`decide`]: the one decision, pure: trigger, status and facts → what happens now.
//! - [`after`]: which upstream runs a dependent job has yet to follow, and cycles.
//! - [`estimate`]: from a sample to a number of pending rows, with its error.

pub mod after;
pub mod decide;
pub mod duration;
pub mod estimate;
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

/// A key of a source row: column → CQL literal without quotes.
pub type Key = BTreeMap<String, String>;

/// A row of `triggers` as somebody wrote it: nothing about it is certain but its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
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
    /// Who wrote it: part of no decision.
    #[serde(skip)]
    pub created_by: Option<String>,
    #[serde(skip)]
    pub note: Option<String>,
}

impl TriggerRow {
    /// Changes with everything that is decided upon: the xxh3-128 of the row's JSON without
    /// `created_by` and `note`.
    pub fn hash(&self) -> Vec<u8> {
        // Plain strings and numbers always serialise.
        let json = serde_json::to_vec(self).unwrap_or_default();
        xxhash_rust::xxh3::xxh3_128(&json).to_be_bytes().to_vec()
    }
}

/// A trigger that makes sense by itself. Whether its job exists is not known here.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its job.
    pub job: String,
    /// Its name among the job's triggers.
    pub name: String,
    /// What makes it fire.
    pub when: When,
    /// What happens when it fires while a run of the job is open.
    pub overlap: Overlap,
    /// What becomes of ticks that no scheduler saw.
    pub missed: Missed,
    /// A tick is served up to so much later.
    pub jitter: Duration,
    /// A run that has not ended so long after its due time is late.
    pub deadline: Option<Duration>,
    /// Unchanged rows are scored, too (scope `all`).
    pub rewrite: bool,
    /// Only these of the job's versions.
    pub versions: Option<BTreeSet<i32>>,
    /// Higher ones first; 0 is usual.
    pub priority: i32,
    /// Limit on rows a second.
    pub max_rows_per_s: Option<i32>,
}

/// What makes a trigger fire.
#[derive(Debug, Clone)]
pub enum When {
    /// Due times: cron or an interval.
    Scheduled(Schedule),
    /// Rows that wait.
    Pending {
        /// So many.
        rows: Option<u64>,
        /// One of them for so long.
        oldest: Option<Duration>,
        /// `changed_keys` is read, too.
        hints: bool,
    },
    /// Each of these jobs has a new run that succeeded.
    After(BTreeSet<String>),
    /// This alias of the job's model moved.
    Promotion(String),
}

/// `overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing happens.
    Skip,
    /// One firing waits for the run's end.
    Queue,
    /// As queue; a run that a trigger started is cancelled, one that a person asked for is not.
    Cancel,
}

/// `missed`: ticks that passed while no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The newest stands for all of them.
    Once,
    /// Each gets its run, the newest so many of them.
    All(u32),
    /// None of them.
    Skip,
}
