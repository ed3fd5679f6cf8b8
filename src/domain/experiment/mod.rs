//! Experiments: which share of units is served by which version, and what decides between them.

mod look;
mod read;
mod verdict;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{evidence::experiment::allocation, job::manifest::VersionWish};
use crate::domain::{
    evidence::{
        evaluation::report::Better,
        experiment::allocation::{Allocation, Arm},
    },
    spelling::spelled,
};

pub use look::{Compared, Look};
pub use verdict::{Evidence, ExperimentVerdict, Judgement, MIN_OBSERVATIONS, judge};

/// Metric of an experiment whose labels are its outcome: the mean of the label column.
pub const MEAN: &str = "mean";

/// A row of `experiments` as written by a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExperimentRow {
    pub job: String,
    pub name: String,
    pub revision: i32,
    pub unit: Option<String>,
    pub salt: Option<String>,
    pub arms: BTreeMap<String, String>,
    pub shares: BTreeMap<String, f64>,
    pub traffic: Option<f64>,
    pub control: Option<String>,
    pub metric: Option<String>,
    pub better: Option<String>,
    pub labels: Option<String>,
    pub options: BTreeMap<String, String>,
    pub covariate: Option<String>,
    pub margin: Option<f64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub alpha: Option<f64>,
    pub expected_rows: Option<i64>,
    pub stopped: Option<bool>,
    pub created_by: Option<String>,
    pub note: Option<String>,
}

impl ExperimentRow {
    /// Returns a hash of all that describes the experiment, to notice a change.
    pub fn hash(&self) -> Vec<u8> {
        let described = Self {
            stopped: None,
            created_by: None,
            note: None,
            ..self.clone()
        };
        let text = format!("{described:?}");
        xxh3_128(text.as_bytes()).to_be_bytes().to_vec()
    }
}

/// A valid experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub job: String,
    /// Unique among the job's experiments.
    pub name: String,
    /// A change of anything is a new revision, with other salts.
    pub revision: i32,
    /// The source column whose values are assigned to arms; `None`: the key.
    pub unit: Option<String>,
    pub salt: String,
    /// Ascending by name.
    pub arms: Vec<ArmSpec>,
    /// Buckets of units that take part.
    pub traffic: u32,
    /// Index of the arm that the others are compared with.
    pub control: usize,
    /// A metric of an evaluation, or [`MEAN`].
    pub metric: String,
    /// Whether a higher metric is better.
    pub better: Better,
    /// Column of the labels or outcomes: keyspace.table.column.
    pub labels: String,
    /// Options of the evaluation.
    pub options: BTreeMap<String, String>,
    /// The champion's output column, as scored before the start, that explains a part of the outcome.
    pub covariate: Option<String>,
    /// Differences smaller than this do not matter; `None`: the end never says "no difference".
    pub margin: Option<f64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: DateTime<Utc>,
    /// Probability of a false "better" or "worse".
    pub alpha: f64,
    /// Observations of all arms at which the interval is narrowest.
    pub expected_rows: u64,
    /// Whether people stopped it.
    pub stopped: bool,
}

/// An arm as people name it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmSpec {
    pub name: String,
    pub version: VersionWish,
    /// Its share of the units that take part.
    pub share: f64,
}

impl Experiment {
    /// Validates a row.
    ///
    /// # Errors
    /// All problems.
    pub fn read(row: &ExperimentRow) -> Result<Self, Vec<super::problem::Problem>> {
        read::read(row)
    }

    /// Returns the allocation to freeze. `versions` has the version of each arm, in their order.
    pub fn allocation(&self, model: &str, versions: &[i32]) -> Allocation {
        let shares: Vec<f64> = self.arms.iter().map(|arm| arm.share).collect();
        let arms = self.arms.iter().zip(versions);
        let arms = arms.zip(allocation::ranges(&shares));
        Allocation {
            experiment: self.name.clone(),
            model: model.to_owned(),
            revision: self.revision,
            unit: self.unit.clone(),
            // Each revision has its own salts, so nobody stays in an arm because of an earlier one.
            salt: format!("{}/{}", self.salt, self.revision),
            traffic: self.traffic,
            arms: arms
                .map(|((arm, version), (from, to))| Arm {
                    name: arm.name.clone(),
                    version: *version,
                    from,
                    to,
                })
                .collect(),
        }
    }

    /// Returns the level of one comparison: `alpha` shared by all arms but the control (Bonferroni).
    pub fn level(&self) -> f64 {
        self.alpha / (self.arms.len().max(2) - 1) as f64
    }
}

/// `experiment_status.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentState {
    /// It has not started; `reason` says what it waits for.
    Waiting,
    Running,
    /// It can't start; `reason` says why.
    Refused,
    /// People stopped it.
    Stopped,
    /// Its planned end has come.
    Ended,
    /// A later revision has started.
    Superseded,
}

spelled! {
    ExperimentState {
        Waiting => "waiting",
        Running => "running",
        Refused => "refused",
        Stopped => "stopped",
        Ended => "ended",
        Superseded => "superseded",
    }
}

impl ExperimentState {
    /// Returns whether it will never run again.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Ended | Self::Superseded)
    }
}

#[cfg(test)]
mod tests;
