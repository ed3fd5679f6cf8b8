//! Runs: states, scopes, counts.

pub mod coverage;
pub mod forecast;
pub mod lease;
pub mod limiter;
pub mod request_message;
pub mod run_id;
pub mod split_queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    codec::ring::TokenRange,
    domain::{evidence::experiment::allocation::Allocation, spelling::spelled},
};

/// `runs.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Opened; boundaries not yet written.
    Planning,
    /// Splits may be claimed.
    Running,
    /// Waits; `reason` says for what.
    Waiting,
    /// Every row has a prediction or a rejection.
    Succeeded,
    /// Ended unsuccessfully; `reason` says why.
    Failed,
    /// Ended on request.
    Cancelled,
}

spelled! {
    RunState {
        Planning => "planning",
        Running => "running",
        Waiting => "waiting",
        Succeeded => "succeeded",
        Failed => "failed",
        Cancelled => "cancelled",
    }
}

impl RunState {
    /// Returns whether the state is final.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| format!("unknown run state `{text}`"))
    }
}

/// Rows counted for one split or one run. Outcomes are counted where writes are acknowledged,
/// `source_rows` where pages arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that the scan returned.
    pub source_rows: u64,
    /// Predictions whose source row no longer exists.
    pub orphaned: u64,
    /// Version → rows written with a prediction.
    pub scored: BTreeMap<i32, u64>,
    /// Version → rows whose stored hash is current.
    pub unchanged: BTreeMap<i32, u64>,
    /// Version → rows stored as rejected (new or unchanged).
    pub rejected: BTreeMap<i32, u64>,
}

impl Counts {
    /// Adds another split's counts.
    pub fn add(&mut self, other: &Self) {
        self.source_rows += other.source_rows;
        self.orphaned += other.orphaned;
        for (mine, theirs) in [
            (&mut self.scored, &other.scored),
            (&mut self.unchanged, &other.unchanged),
            (&mut self.rejected, &other.rejected),
        ] {
            for (version, rows) in theirs {
                *mine.entry(*version).or_default() += rows;
            }
        }
    }
}

/// The rows that a run covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Whether rows whose stored hash is current are also scored.
    pub rewrite: bool,
    /// Whether unchanged predictions are copied to the table of current predictions.
    pub refresh: bool,
    /// The part of the source.
    pub part: Part,
}

/// A part of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The whole ring.
    Whole,
    /// Rows whose token lies in the range.
    Range(TokenRange),
    /// These rows: all primary key columns by name, values as CQL literals without quotes.
    Keys(Vec<BTreeMap<String, String>>),
}

impl Scope {
    /// Returns the spelling of `runs.scope`.
    pub fn as_str(&self) -> &'static str {
        match (&self.part, self.rewrite) {
            (_, true) => "all",
            (Part::Whole, false) if self.refresh => "current",
            (Part::Whole, false) => "pending",
            (Part::Range(_), false) => "range",
            (Part::Keys(_), false) => "keys",
        }
    }

    /// Parses the columns of a request or a run.
    ///
    /// # Errors
    /// A sentence for the author of the row.
    pub fn from_columns(
        scope: Option<&str>,
        token_from: Option<i64>,
        token_to: Option<i64>,
        keys: Option<Vec<BTreeMap<String, String>>>,
    ) -> Result<Self, String> {
        let part = match (token_from, token_to, keys) {
            (None, None, None) => Part::Whole,
            (None, None, Some(keys)) if keys.is_empty() => {
                return Err("`keys` is empty, so there is nothing to score".to_owned());
            }
            (None, None, Some(keys)) => Part::Keys(keys),
            (Some(from), Some(to), None) => Part::Range(TokenRange::new(from, to).ok_or_else(
                || format!("token_from {from} must be less than token_to {to}; split a range that wraps into two"),
            )?),
            (_, _, None) => return Err("token_from and token_to must be given together".to_owned()),
            _ => return Err("`keys` and a token range are mutually exclusive".to_owned()),
        };
        let fits = match scope {
            None | Some("all") => true,
            Some("pending" | "current") => part == Part::Whole,
            Some("keys") => matches!(part, Part::Keys(_)),
            Some("range") => matches!(part, Part::Range(_)),
            Some(other) => {
                return Err(format!(
                    "unknown scope `{other}`: use pending, all, keys, range or current"
                ));
            }
        };
        if !fits {
            return Err(format!(
                "scope `{}` does not match the columns given: `keys` requires keys, `range` requires token_from and token_to",
                scope.unwrap_or_default()
            ));
        }
        Ok(Self {
            rewrite: scope == Some("all"),
            refresh: scope == Some("current"),
            part,
        })
    }
}

/// The splits of a run, written once by its planner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Token ranges in ring order; a run over keys has a single split without a range.
    pub splits: Vec<Option<TokenRange>>,
    /// Ranges that an earlier run left claimed and unfinished. Their rows are written even if
    /// unchanged; otherwise a late write of that run could win over a row that was skipped.
    pub unfinished: Vec<TokenRange>,
}

/// The run's writes to the table of current predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// The champion when the run began, whose predictions are also written there.
    pub version: i32,
    /// Sequence number of the move that made it the champion.
    pub seq: i32,
    /// Whether unchanged predictions are also copied, because the table has another version's.
    pub copies: bool,
    /// Number of the change that led to the run's allocation; 0: there never was an experiment.
    pub allocation_seq: i32,
}

/// A row of `runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub job: String,
    pub run_id: Uuid,
    pub job_revision: i32,
    pub versions: BTreeSet<i32>,
    /// Aliases of the manifest as resolved by the planner.
    pub aliases: BTreeMap<String, i32>,
    pub model_sha256: BTreeMap<i32, Vec<u8>>,
    pub scope: Scope,
    /// Set if the job has a table of current predictions and the run scores the champion.
    pub current: Option<Current>,
    /// The experiment that was running when the run began: which arm serves which row.
    pub allocation: Option<Box<Allocation>>,
    pub source: String,
    pub source_version: Option<i32>,
    pub target: String,
    pub trigger: String,
    pub request_id: Option<Uuid>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
    /// Runs of higher priority come first, equal ones share; the default is 0.
    pub priority: i32,
    pub max_rows_per_s: Option<i32>,
    pub state: RunState,
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    pub cancel_requested: bool,
    /// Whether it is past its deadline, or ended after it.
    pub late: bool,
    pub due_at: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Microseconds: the timestamp of predictions is `run_base + 2 x epoch`.
    pub run_base: Option<i64>,
    pub plan: Option<Plan>,
    pub splits_total: i32,
    pub splits_done: i32,
    pub counts: Counts,
    /// Version → statistics of its outputs, JSON.
    pub output_statistics: BTreeMap<i32, String>,
    pub helenus_version: String,
    pub runtime_version: Option<String>,
}

impl Run {
    /// Returns a run that is about to be planned, of which only its id and due time are known.
    pub fn planning(job: &str, run_id: Uuid, due_at: DateTime<Utc>) -> Self {
        Self {
            job: job.to_owned(),
            run_id,
            job_revision: 0,
            versions: BTreeSet::new(),
            aliases: BTreeMap::new(),
            model_sha256: BTreeMap::new(),
            scope: Scope {
                rewrite: false,
                refresh: false,
                part: Part::Whole,
            },
            current: None,
            allocation: None,
            source: String::new(),
            source_version: None,
            target: String::new(),
            trigger: String::new(),
            request_id: None,
            requested_by: None,
            note: None,
            priority: 0,
            max_rows_per_s: None,
            state: RunState::Planning,
            reason: None,
            warnings: Vec::new(),
            cancel_requested: false,
            late: false,
            due_at,
            deadline: None,
            started_at: None,
            finished_at: None,
            run_base: None,
            plan: None,
            splits_total: 0,
            splits_done: 0,
            counts: Counts::default(),
            output_statistics: BTreeMap::new(),
            helenus_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_version: None,
        }
    }

    /// Returns whether it is past its deadline at `now`, unless it ended before.
    pub fn is_late(&self, now: DateTime<Utc>) -> bool {
        self.late || self.deadline.is_some_and(|deadline| deadline < now)
    }
}
