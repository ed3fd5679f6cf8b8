//! Evidence from an evaluation, and whether it counts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Gate;
use crate::domain::trigger::duration;

/// Maximum time by which evidence may be ahead of this machine's clock.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);
/// Maximum share of labelled rows without a usable prediction.
const PARTIAL: f64 = 0.05;

/// Returns whether a metric depends on the order of scores.
fn is_ranking(metric: &str) -> bool {
    matches!(metric, "roc_auc" | "average_precision")
}

/// Result of an evaluation of a version against a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The evaluation.
    pub evaluation: Uuid,
    /// When the evaluation began.
    pub at: Option<DateTime<Utc>>,
    /// The version that is to be given the alias.
    pub version: i32,
    /// The version it was compared with.
    pub baseline: Option<i32>,
    /// The label column.
    pub labels: String,
    /// Whether predictions that may have known the outcome were excluded.
    pub leakage_checked: bool,
    /// Labelled rows.
    pub labelled: u64,
    /// Rows evaluated.
    pub evaluated: u64,
    /// Of version and baseline.
    pub unusable: [Unusable; 2],
    /// Metric -> version minus baseline.
    pub differences: BTreeMap<String, f64>,
    /// Metric -> its standard error.
    pub standard_errors: BTreeMap<String, f64>,
    /// Metric -> maximum error of both values due to binning, added.
    pub bounds: BTreeMap<String, f64>,
    /// Whether standard errors of ranking metrics have the metrics' resolution. In evaluations by
    /// earlier versions of helenus they came from coarser bins and were far too small.
    pub is_fine: bool,
    /// By segment; `None` if segments were not requested or not reported.
    pub segments: Option<BTreeMap<String, SegmentEvidence>>,
    /// Verdicts on the arms with this version, of the experiment that the gate requires.
    pub experiment: Vec<String>,
}

/// Labelled rows without a usable prediction by a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unusable {
    /// Missing or stale.
    pub uncovered: u64,
    /// Missing, stale, rejected, not a number, or untimed.
    pub all: u64,
}

/// A segment's difference.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SegmentEvidence {
    pub rows: u64,
    pub difference: Option<f64>,
    pub standard_error: Option<f64>,
    /// Maximum error of both values due to binning, added.
    pub bound: f64,
}

impl Gate {
    /// Adds the reasons why evidence does not count, whatever its result.
    pub(super) fn check_evidence(
        &self,
        evidence: &Evidence,
        points_at: Option<i32>,
        now: DateTime<Utc>,
        reasons: &mut Vec<String>,
    ) {
        if evidence.labels != self.labels {
            reasons.push(format!(
                "its labels are {}, not {}",
                evidence.labels, self.labels
            ));
        }
        if !evidence.leakage_checked {
            reasons.push("leakage_unchecked: it was evaluated without --label-time".to_owned());
        }
        match (evidence.baseline, points_at) {
            (Some(baseline), Some(version)) if baseline == version => {}
            (baseline, points_at) => {
                let word = |version: Option<i32>| {
                    version.map_or_else(|| "nothing".to_owned(), |v| format!("version {v}"))
                };
                reasons.push(format!(
                    "stale: it compares with {}, but `{}` points at {}",
                    word(baseline),
                    self.alias,
                    word(points_at)
                ));
            }
        }
        if points_at == Some(evidence.version) {
            reasons.push(format!(
                "`{}` already points at version {}",
                self.alias, evidence.version
            ));
        }
        let age = evidence.at.map(|at| now - at);
        if age.is_some_and(|age| age < -CLOCKS_DIFFER) {
            reasons.push(
                "stale: it is dated in the future, so its age is unknown; check the workers' clocks"
                    .to_owned(),
            );
        } else if age.is_none_or(|age| age.to_std().unwrap_or_default() > self.max_age) {
            reasons.push(format!(
                "stale: it is older than {}",
                duration::spoken(self.max_age)
            ));
        }
        if !evidence.is_fine && is_ranking(&self.metric) {
            reasons.push(format!(
                "coarse: it is by an earlier helenus, whose intervals of {} were too narrow; evaluate again",
                self.metric
            ));
        }
        if evidence.evaluated < self.min_labelled_rows {
            reasons.push(format!(
                "unlabelled: {} rows are usable, but {} are required",
                evidence.evaluated, self.min_labelled_rows
            ));
        }
        for (unusable, who) in evidence.unusable.iter().zip(["version", "baseline"]) {
            let allowed = (PARTIAL * evidence.labelled as f64) as u64;
            if unusable.all > allowed {
                reasons.push(format!(
                    "partial: the {who} has no usable prediction of {} of {} labelled rows",
                    unusable.all, evidence.labelled
                ));
            } else if self.full_coverage && unusable.uncovered > 0 {
                reasons.push(format!(
                    "partial: {} predictions of the {who} are missing or stale, but full coverage is required",
                    unusable.uncovered
                ));
            }
        }
    }
}
