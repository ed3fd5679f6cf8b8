//! Gates: what a version must show before it may get an alias, and whether it does.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    alias::{CHAMPION, PREVIOUS},
    evaluation::{report::higher_is_better, sequence},
    model::check_name,
    problem::Problem,
    trigger::duration,
};

mod acts;

pub use acts::{Acts, Demotes, Looked};

/// The alias of whoever wants to be the champion, where the row does not say.
pub const CHALLENGER: &str = "challenger";
const CONFIDENCE: f64 = 0.95;
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// More unusable predictions than this share of the labelled rows make evidence partial.
const PARTIAL: f64 = 0.05;

/// A row of `gates` as somebody wrote it.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct GateRow {
    pub model: String,
    pub name: String,
    pub alias: Option<String>,
    pub challenger: Option<String>,
    pub metric: Option<String>,
    pub labels: Option<String>,
    pub least_improvement: Option<f64>,
    pub confidence: Option<f64>,
    pub least_labelled: Option<i64>,
    pub segment_margin: Option<f64>,
    pub full_coverage: Option<bool>,
    pub max_age: Option<String>,
    pub auto: Option<bool>,
    pub demote: Option<bool>,
    pub cooldown: Option<String>,
    pub removed: Option<bool>,
    pub created_by: Option<String>,
    pub note: Option<String>,
}

/// A gate that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The model.
    pub model: String,
    /// A name of its own among the model's gates.
    pub name: String,
    /// What may move.
    pub alias: String,
    /// Points at whoever wants it.
    pub challenger: String,
    /// What must be better.
    pub metric: String,
    /// Where labels must have been.
    pub labels: String,
    /// By more than this.
    pub least_improvement: f64,
    /// Of the confidence sequence.
    pub confidence: f64,
    /// On at least so many rows.
    pub least_labelled: u64,
    /// In no segment worse by more than this; `None`: segments do not matter.
    pub segment_margin: Option<f64>,
    /// Not one prediction may be missing or stale.
    pub full_coverage: bool,
    /// Older evidence does not count.
    pub max_age: Duration,
    /// `None`: it waits for approvals.
    pub acts: Option<Acts>,
}

impl Gate {
    /// Reads a row.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(row: &GateRow) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |place: &str, message: String, help: &str| {
            let problem = Problem::new("gate.invalid", message).at(place);
            problems.push(problem.help(help));
        };
        let alias = row.alias.clone().unwrap_or_else(|| CHAMPION.to_owned());
        let challenger = row.challenger.clone();
        let challenger = challenger.unwrap_or_else(|| CHALLENGER.to_owned());
        if check_name("an alias", &alias).is_err() || alias == PREVIOUS {
            wrong(
                "alias",
                format!("`{alias}` can't be moved"),
                "an alias such as champion",
            );
        }
        if check_name("an alias", &challenger).is_err() || challenger == alias {
            let help = "another alias than the one that moves, such as challenger";
            wrong(
                "challenger",
                format!("`{challenger}` can't challenge `{alias}`"),
                help,
            );
        }
        let metric = row.metric.clone().unwrap_or_default();
        if metric.is_empty() || metric.starts_with("best_threshold") {
            let help = "a metric of docs/evaluate.md, such as roc_auc, log_loss or rmse";
            wrong("metric", "no metric is named".to_owned(), help);
        }
        let labels = row.labels.clone().unwrap_or_default();
        if labels.split('.').filter(|part| !part.is_empty()).count() != 3 {
            let help = "KEYSPACE.TABLE.COLUMN: evidence from other labels does not count";
            wrong("labels", format!("`{labels}` names no column"), help);
        }
        let least_improvement = row.least_improvement.unwrap_or(0.0);
        if !(least_improvement.is_finite() && least_improvement >= 0.0) {
            let message = format!("{least_improvement} is no improvement");
            wrong(
                "least_improvement",
                message,
                "0 or more, in units of the metric",
            );
        }
        let confidence = row.confidence.unwrap_or(CONFIDENCE);
        if !(0.5..1.0).contains(&confidence) {
            wrong(
                "confidence",
                format!("{confidence} is none"),
                "0.5 to below 1",
            );
        }
        let least_labelled = u64::try_from(row.least_labelled.unwrap_or(0)).unwrap_or(0);
        if least_labelled == 0 {
            let help =
                "the fewest labelled rows that may decide; also where the interval is narrowest";
            wrong(
                "least_labelled",
                "no number of rows is named".to_owned(),
                help,
            );
        }
        if row
            .segment_margin
            .is_some_and(|margin| !(margin.is_finite() && margin >= 0.0))
        {
            wrong(
                "segment_margin",
                "it is no margin".to_owned(),
                "0 or more, in units of the metric",
            );
        }
        let max_age = row.max_age.as_deref().map_or(Ok(MAX_AGE), duration::parse);
        let max_age = max_age.unwrap_or_else(|error| {
            wrong("max_age", error, "such as 7d");
            MAX_AGE
        });
        let acts = acts::read(row).unwrap_or_else(|(place, message, help)| {
            wrong(place, message, help);
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            model: row.model.clone(),
            name: row.name.clone(),
            alias,
            challenger,
            metric,
            labels,
            least_improvement,
            confidence,
            least_labelled,
            segment_margin: row.segment_margin,
            full_coverage: row.full_coverage == Some(true),
            max_age,
            acts,
        })
    }
}

/// What an evaluation says of a version against a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The evaluation.
    pub evaluation: Uuid,
    /// When it began.
    pub at: Option<DateTime<Utc>>,
    /// The version that wants the alias.
    pub version: i32,
    /// Against which it was evaluated.
    pub baseline: Option<i32>,
    /// Where labels were.
    pub labels: String,
    /// Predictions that may have known the outcome were left out.
    pub leakage_checked: bool,
    /// Labelled rows, and those that count.
    pub labelled: u64,
    /// Rows that count.
    pub evaluated: u64,
    /// Of version and baseline: missing and stale, and all that are not usable.
    pub unusable: [Unusable; 2],
    /// Metric -> version minus baseline.
    pub differences: BTreeMap<String, f64>,
    /// Metric -> its standard error.
    pub standard_errors: BTreeMap<String, f64>,
    /// Metric -> largest error of both values by binning, added.
    pub bounds: BTreeMap<String, f64>,
    /// Whether the evaluation told segments apart, and did tell them.
    pub segments: Option<BTreeMap<String, SegmentEvidence>>,
}

/// Labelled rows of which a version has no usable prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unusable {
    /// Missing or stale.
    pub uncovered: u64,
    /// Missing, stale, rejected, not a number, untimed.
    pub all: u64,
}

/// A segment's difference.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SegmentEvidence {
    pub rows: u64,
    pub difference: Option<f64>,
    pub standard_error: Option<f64>,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Why it does not pass; none: it does.
    pub reasons: Vec<String>,
    /// Improvement, positive if the version is better.
    pub improvement: Option<f64>,
    /// Its lower end, whatever the number of looks.
    pub low: Option<f64>,
}

impl Verdict {
    /// As stored.
    pub fn as_str(&self) -> &'static str {
        match self.passes() {
            true => "passes",
            false => "fails",
        }
    }

    /// Whether the version may have the alias.
    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Gate {
    /// Judges evidence. `points_at`: where the alias points now.
    pub fn judge(
        &self,
        evidence: &Evidence,
        points_at: Option<i32>,
        now: DateTime<Utc>,
    ) -> Verdict {
        let mut reasons = Vec::new();
        self.check_evidence(evidence, points_at, now, &mut reasons);
        let sign = match higher_is_better(&self.metric) {
            true => 1.0,
            false => -1.0,
        };
        let difference = evidence.differences.get(&self.metric);
        let error = evidence.standard_errors.get(&self.metric);
        let improvement = difference.map(|difference| sign * difference);
        let bound = evidence.bounds.get(&self.metric).copied().unwrap_or(0.0);
        let low = improvement.zip(error).map(|(improvement, error)| {
            improvement - bound - self.margin(*error, evidence.evaluated)
        });
        match low {
            None => reasons.push(format!("{} has no difference with an interval", self.metric)),
            // A standard error of zero is no evidence, whatever made it.
            Some(_) if error == Some(&0.0) => reasons.push(format!("{} does not vary", self.metric)),
            Some(low) if low <= self.least_improvement => reasons.push(format!(
                "{} is better by {:.6}, at {} confidence by no more than {low:.6}; more than {} is wanted",
                self.metric,
                improvement.unwrap_or_default(),
                self.confidence,
                self.least_improvement
            )),
            Some(_) => {}
        }
        self.check_segments(evidence, sign, &mut reasons);
        Verdict {
            reasons,
            improvement,
            low,
        }
    }

    fn margin(&self, standard_error: f64, rows: u64) -> f64 {
        sequence::margin(standard_error, rows, self.least_labelled, self.confidence)
    }

    fn check_evidence(
        &self,
        evidence: &Evidence,
        points_at: Option<i32>,
        now: DateTime<Utc>,
        reasons: &mut Vec<String>,
    ) {
        if evidence.labels != self.labels {
            reasons.push(format!(
                "its labels were {}, not {}",
                evidence.labels, self.labels
            ));
        }
        if !evidence.leakage_checked {
            reasons.push("leakage_unchecked: it was made without --label-time".to_owned());
        }
        match (evidence.baseline, points_at) {
            (Some(baseline), Some(version)) if baseline == version => {}
            (baseline, points_at) => {
                let word = |version: Option<i32>| {
                    version.map_or_else(|| "nothing".to_owned(), |v| format!("version {v}"))
                };
                reasons.push(format!(
                    "stale: it is against {}, and `{}` points at {}",
                    word(baseline),
                    self.alias,
                    word(points_at)
                ));
            }
        }
        if points_at == Some(evidence.version) {
            reasons.push(format!(
                "`{}` is version {} already",
                self.alias, evidence.version
            ));
        }
        let age = evidence.at.and_then(|at| (now - at).to_std().ok());
        if evidence.at.is_none() || age.is_some_and(|age| age > self.max_age) {
            reasons.push(format!(
                "stale: it is older than {}",
                duration::spoken(self.max_age)
            ));
        }
        if evidence.evaluated < self.least_labelled {
            reasons.push(format!(
                "unlabelled: {} rows count, {} are wanted",
                evidence.evaluated, self.least_labelled
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
                    "partial: {} predictions of the {who} are missing or stale, and full coverage is wanted",
                    unusable.uncovered
                ));
            }
        }
    }

    /// In every segment, or not at all (intersection-union, Berger 1982).
    fn check_segments(&self, evidence: &Evidence, sign: f64, reasons: &mut Vec<String>) {
        let Some(margin) = self.segment_margin else {
            return;
        };
        let Some(segments) = &evidence.segments else {
            reasons.push("it does not tell segments apart".to_owned());
            return;
        };
        for (name, segment) in segments {
            let (Some(difference), Some(error)) = (segment.difference, segment.standard_error)
            else {
                reasons.push(format!(
                    "segment `{name}` ({} rows) has no difference with an interval",
                    segment.rows
                ));
                continue;
            };
            let low = sign * difference - self.margin(error, segment.rows);
            if low < -margin {
                reasons.push(format!(
                    "segment `{name}` may be worse by {:.6}; at most {margin} is borne",
                    -low
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
