//! Runs: states, scopes, counts.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `runs.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Opened; boundaries not yet written.
    Planning,
    /// Splits may be claimed.
    Running,
    /// Waits for something named in `reason`.
    Waiting,
    /// Every row has its prediction or its rejection.
    Succeeded,
    /// Ended without; `reason` says why.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl RunState {
    /// Nothing follows a terminal state.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
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
        [
            Self::Planning,
            Self::Running,
            Self::Waiting,
            Self::Succeeded,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("unknown run state `{text}`"))
    }
}

/// Rows counted for one split or one run. Outcomes are counted where writes are acknowledged,
/// `source_rows` where pages arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that the scan returned.
    pub source_rows: u64,
    /// Predictions whose source row is gone.
    pub orphaned: u64,
    /// Version → rows written with a prediction.
    pub scored: BTreeMap<i32, u64>,
    /// Version → rows whose stored hash equalled today's.
    pub unchanged: BTreeMap<i32, u64>,
    /// Version → rows that stand as rejected (new or unchanged).
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
