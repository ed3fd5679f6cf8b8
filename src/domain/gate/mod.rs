//! Gates: the evidence that a version must show before it is given an alias, and its evaluation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{model::check_name, problem::Problem, trigger::duration};
use crate::domain::{
    evidence::evaluation::{report::Better, sequence},
    model::alias::{CHAMPION, PREVIOUS},
};

mod acts;
mod evidence;

pub use acts::{Acts, Comparison, Demotes};
pub use evidence::{Evidence, SegmentEvidence, Unusable};

/// Default alias of the version that challenges the champion.
pub const CHALLENGER: &str = "challenger";
const CONFIDENCE: f64 = 0.95;
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);

/// A row of `gates` as written by a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GateRow {
    pub model: String,
    pub name: String,
    pub alias: Option<String>,
    pub challenger: Option<String>,
    pub metric: Option<String>,
    pub labels: Option<String>,
    pub min_improvement: Option<f64>,
    pub confidence: Option<f64>,
    pub min_labelled_rows: Option<i64>,
    pub segment_margin: Option<f64>,
    pub full_coverage: Option<bool>,
    pub max_age: Option<String>,
    pub auto: Option<bool>,
    pub demote: Option<bool>,
    pub cooldown: Option<String>,
    pub removed: Option<bool>,
    pub created_by: Option<String>,
    pub note: Option<String>,
    pub experiment: Option<String>,
    /// `min_improvement` in rows written before it was called so; read only.
    pub least_improvement: Option<f64>,
    /// `min_labelled_rows` in rows written before it was called so; read only.
    pub least_labelled: Option<i64>,
}

/// A valid gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub model: String,
    /// Its name, unique among the model's gates.
    pub name: String,
    /// The alias that it guards.
    pub alias: String,
    /// The alias of the version that is evaluated.
    pub challenger: String,
    /// The metric that must improve.
    pub metric: String,
    /// The metric's direction.
    pub better: Better,
    /// The label column of accepted evidence.
    pub labels: String,
    /// The improvement must exceed this.
    pub min_improvement: f64,
    /// Confidence of the confidence sequence.
    pub confidence: f64,
    /// Minimum number of rows evaluated.
    pub min_labelled_rows: u64,
    /// Maximum deterioration in any segment; `None`: segments are not checked.
    pub segment_margin: Option<f64>,
    /// Whether no prediction may be missing or stale.
    pub full_coverage: bool,
    /// Maximum age of evidence.
    pub max_age: Duration,
    /// The experiment (job and name) in which an arm with the version must be better.
    pub experiment: Option<(String, String)>,
    /// Automatic action; `None`: it waits for approvals.
    pub acts: Option<Acts>,
}

impl Gate {
    /// Validates a row.
    ///
    /// # Errors
    /// All problems.
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
                format!("`{alias}` is not an alias that can be moved"),
                "name an alias such as champion",
            );
        }
        if check_name("an alias", &challenger).is_err() || challenger == alias {
            let help = "name an alias other than the guarded one, such as challenger";
            wrong(
                "challenger",
                format!("`{challenger}` cannot challenge `{alias}`"),
                help,
            );
        }
        let metric = row.metric.clone().unwrap_or_default();
        let better = Better::for_metric(&metric).filter(|_| !metric.is_empty());
        if better.is_none() {
            let help = match metric.as_str() {
                "mean_error" => "name mae or rmse, which have no sign",
                _ => "name a metric of docs/evaluate.md, such as roc_auc, log_loss or rmse",
            };
            let message = match metric.as_str() {
                "" => "no metric is named".to_owned(),
                _ => format!("neither higher nor lower values of `{metric}` are better"),
            };
            wrong("metric", message, help);
        }
        let labels = row.labels.clone().unwrap_or_default();
        if labels.split('.').filter(|part| !part.is_empty()).count() != 3 {
            let help = "write KEYSPACE.TABLE.COLUMN; evidence from other labels does not count";
            wrong("labels", format!("`{labels}` is not a column"), help);
        }
        let min_improvement = row.min_improvement.or(row.least_improvement);
        let min_improvement = min_improvement.unwrap_or(0.0);
        if !(min_improvement.is_finite() && min_improvement >= 0.0) {
            let message = format!("invalid improvement {min_improvement}");
            wrong(
                "min_improvement",
                message,
                "write 0 or more, in units of the metric",
            );
        }
        let confidence = row.confidence.unwrap_or(CONFIDENCE);
        if !(0.5..1.0).contains(&confidence) {
            wrong(
                "confidence",
                format!("invalid confidence {confidence}"),
                "write at least 0.5 and less than 1",
            );
        }
        let min_labelled_rows = row.min_labelled_rows.or(row.least_labelled);
        let min_labelled_rows = u64::try_from(min_labelled_rows.unwrap_or(0)).unwrap_or(0);
        if min_labelled_rows == 0 {
            let help = "set the minimum number of labelled rows; the interval is narrowest there";
            wrong(
                "min_labelled_rows",
                "the minimum number of rows is missing".to_owned(),
                help,
            );
        }
        if row
            .segment_margin
            .is_some_and(|margin| !(margin.is_finite() && margin >= 0.0))
        {
            wrong(
                "segment_margin",
                "invalid margin".to_owned(),
                "write 0 or more, in units of the metric",
            );
        }
        let max_age = row.max_age.as_deref().map_or(Ok(MAX_AGE), duration::parse);
        let max_age = max_age.unwrap_or_else(|error| {
            wrong("max_age", error, "write a duration such as 7d");
            MAX_AGE
        });
        let experiment = row
            .experiment
            .as_deref()
            .map(|text| match text.split_once('/') {
                Some((job, name)) if !job.is_empty() && !name.is_empty() => {
                    (job.to_owned(), name.to_owned())
                }
                _ => {
                    let message = format!("`{text}` is not an experiment");
                    wrong("experiment", message, "write JOB/EXPERIMENT");
                    Default::default()
                }
            });
        let acts = acts::read(row).unwrap_or_else(|(place, message, help)| {
            wrong(place, message, help);
            None
        });
        let Some(better) = better.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        Ok(Self {
            model: row.model.clone(),
            name: row.name.clone(),
            alias,
            challenger,
            better,
            metric,
            labels,
            min_improvement,
            confidence,
            min_labelled_rows,
            segment_margin: row.segment_margin,
            full_coverage: row.full_coverage == Some(true),
            max_age,
            experiment,
            acts,
        })
    }
}

/// The decision of a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Reasons why it does not pass; empty if it passes.
    pub reasons: Vec<String>,
    /// Improvement, positive if the version is better.
    pub improvement: Option<f64>,
    /// Lower end of its confidence sequence, valid at every look.
    pub low: Option<f64>,
}

impl Verdict {
    /// Returns the stored spelling.
    pub fn as_str(&self) -> &'static str {
        match self.passes() {
            true => "passes",
            false => "fails",
        }
    }

    /// Returns whether the version may be given the alias.
    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Gate {
    /// Evaluates evidence. `points_at`: the version to which the alias points now.
    pub fn judge(
        &self,
        evidence: &Evidence,
        points_at: Option<i32>,
        now: DateTime<Utc>,
    ) -> Verdict {
        let mut reasons = Vec::new();
        self.check_evidence(evidence, points_at, now, &mut reasons);
        let difference = evidence.differences.get(&self.metric);
        let error = evidence.standard_errors.get(&self.metric);
        let improvement = difference.map(|difference| self.better.improvement(*difference));
        let bound = evidence.bounds.get(&self.metric).copied().unwrap_or(0.0);
        let low = improvement.zip(error).map(|(improvement, error)| {
            improvement - bound - self.margin(*error, evidence.evaluated)
        });
        match low {
            None => reasons.push(self.without_interval()),
            // A standard error of zero is not evidence, whatever caused it.
            Some(_) if error == Some(&0.0) => reasons.push(self.without_variation()),
            Some(low) if low <= self.min_improvement => reasons.push(format!(
                "{} is better by {:.6}, but at {} confidence only by {low:.6}; more than {} is required",
                self.metric,
                improvement.unwrap_or_default(),
                self.confidence,
                self.min_improvement
            )),
            Some(_) => {}
        }
        self.check_segments(evidence, &mut reasons);
        self.check_experiment(evidence, &mut reasons);
        Verdict {
            reasons,
            improvement,
            low,
        }
    }

    fn without_interval(&self) -> String {
        let why = match self.metric.split_once('@') {
            Some((_, "best")) => "metrics at the best threshold have no interval",
            _ if self.metric == "calibration_error" => "this metric has no interval",
            _ => "fewer than ten groups have usable rows, or the metric is absent",
        };
        format!("{} has no difference with an interval: {why}", self.metric)
    }

    fn without_variation(&self) -> String {
        format!(
            "{} does not vary between groups of rows, so its precision is unknown",
            self.metric
        )
    }

    fn margin(&self, standard_error: f64, rows: u64) -> f64 {
        sequence::margin(
            standard_error,
            rows,
            self.min_labelled_rows,
            self.confidence,
        )
    }

    /// Checks that the version was better in the experiment that the gate requires.
    fn check_experiment(&self, evidence: &Evidence, reasons: &mut Vec<String>) {
        let Some((job, name)) = &self.experiment else {
            return;
        };
        let arms = &evidence.experiment;
        if arms.iter().any(|arm| arm == "better") {
            return;
        }
        reasons.push(match arms.first() {
            Some(verdict) => format!(
                "experiment `{name}` of job `{job}` says {verdict} of version {}; better is required",
                evidence.version
            ),
            None => format!(
                "experiment `{name}` of job `{job}` has no verdict on version {}",
                evidence.version
            ),
        });
    }

    /// Checks that no segment deteriorates (intersection-union test, Berger 1982).
    fn check_segments(&self, evidence: &Evidence, reasons: &mut Vec<String>) {
        let Some(margin) = self.segment_margin else {
            return;
        };
        let Some(segments) = &evidence.segments else {
            reasons.push("it has no results for segments".to_owned());
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
            if error == 0.0 {
                reasons.push(format!("segment `{name}`: {}", self.without_variation()));
                continue;
            }
            let low = self.better.improvement(difference)
                - segment.bound
                - self.margin(error, segment.rows);
            if low < -margin {
                reasons.push(format!(
                    "segment `{name}` may be worse by {:.6}; at most {margin} is permitted",
                    -low
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
