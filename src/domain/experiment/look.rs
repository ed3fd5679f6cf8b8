//! The result of one look at an experiment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ExperimentVerdict;
use crate::domain::evidence::experiment::{
    interval::Interval, sample_ratio::SampleRatio, units::Stage,
};

/// One look: the counts, tests and intervals by arm, and the verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub job: String,
    pub experiment: String,
    pub revision: i32,
    /// A timeuuid of when its pass began.
    pub look: Uuid,
    pub at: DateTime<Utc>,
    /// Whether it is the look at the planned end.
    pub is_final: bool,
    /// Units by arm that reached each stage.
    pub counts: BTreeMap<Stage, BTreeMap<String, u64>>,
    /// Rows whose unit is null, which the champion serves.
    pub without_unit: u64,
    /// Rows whose unit does not take part.
    pub outside: u64,
    /// Rows whose label was known before the start: no arm can have caused it.
    pub early: u64,
    /// Rows whose prediction was made after the label was known.
    pub leaked: u64,
    /// Tests of the arms' sizes by stage.
    pub sample_ratio: BTreeMap<Stage, SampleRatio>,
    pub metric: String,
    /// The metric by arm.
    pub values: BTreeMap<String, f64>,
    /// Its standard error by arm.
    pub standard_errors: BTreeMap<String, f64>,
    /// Arm against control: on the units of each.
    pub differences: BTreeMap<String, Compared>,
    /// Arm against control: with what the covariate explains removed.
    pub adjusted: BTreeMap<String, Compared>,
    /// Arm against control: both versions' predictions of the same rows, of all units.
    pub paired: BTreeMap<String, Compared>,
    pub verdict: ExperimentVerdict,
    /// Verdict by arm.
    pub verdicts: BTreeMap<String, ExperimentVerdict>,
    /// Why the verdict is not more than it is.
    pub reason: String,
    pub warnings: Vec<String>,
}

/// A difference with its intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    pub difference: f64,
    pub standard_error: f64,
    /// Observations of both arms, or pairs.
    pub n: u64,
    /// Valid at every look; `None`: too few observations, or no variation.
    pub always: Option<Interval>,
    /// Valid at the planned end only, and given only there.
    pub fixed: Option<Interval>,
}
