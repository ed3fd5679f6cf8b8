//! A gate and its verdict as a result: what commands print as JSON and HTTP routes answer.

use serde::Serialize;

use super::{Judged, Step};
use crate::{codec::utc, domain::gate::Demotes};

/// A gate, its verdict on the challenger, and what it does next.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GateDetail {
    pub model: String,
    pub name: String,
    /// The alias that the gate guards.
    pub alias: String,
    /// The version that the alias points to.
    pub points_at: Option<i32>,
    /// The alias of the version that must pass.
    pub challenger: String,
    /// The version that must pass.
    pub challenger_version: Option<i32>,
    pub metric: String,
    /// The label column of accepted evidence.
    pub labels: String,
    pub min_improvement: f64,
    pub confidence: f64,
    pub min_labelled_rows: u64,
    /// Maximum deterioration in any segment; null: segments are not checked.
    pub segment_margin: Option<f64>,
    /// Whether no prediction may be missing or stale.
    pub full_coverage: bool,
    /// `JOB/NAME` of the experiment in which the version must be better.
    pub experiment: Option<String>,
    /// passes, fails, unevaluated or unchallenged.
    pub says: &'static str,
    /// Null if the challenger was never evaluated.
    pub evidence: Option<GateEvidence>,
    /// Null if the gate waits for approvals.
    pub acts: Option<GateActs>,
}

/// The newest evaluation of the challenger, as the gate reads it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GateEvidence {
    pub evaluation: String,
    #[schema(format = DateTime)]
    pub evaluated_at: Option<String>,
    pub version: i32,
    pub baseline: Option<i32>,
    /// Rows evaluated.
    pub rows: u64,
    /// Positive if the version is better.
    pub improvement: Option<f64>,
    /// Lower end of the improvement's confidence sequence.
    pub low: Option<f64>,
    /// Why it does not pass; empty if it passes.
    pub reasons: Vec<String>,
}

/// What the gate does by itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GateActs {
    /// Seconds between two promotions.
    pub cooldown_seconds: u64,
    /// Whether it rolls back after two bad evaluations in a row.
    pub demotes: bool,
    /// What it does next, or why it rests.
    pub next: Option<String>,
}

impl GateDetail {
    pub fn new(judged: &Judged, step: &Step) -> Self {
        let gate = &judged.gate;
        let evidence = judged.verdict.as_ref();
        Self {
            model: gate.model.clone(),
            name: gate.name.clone(),
            alias: gate.alias.clone(),
            points_at: judged.points_at,
            challenger: gate.challenger.clone(),
            challenger_version: judged.challenger,
            metric: gate.metric.clone(),
            labels: gate.labels.clone(),
            min_improvement: gate.min_improvement,
            confidence: gate.confidence,
            min_labelled_rows: gate.min_labelled_rows,
            segment_margin: gate.segment_margin,
            full_coverage: gate.full_coverage,
            experiment: gate
                .experiment
                .as_ref()
                .map(|(job, name)| format!("{job}/{name}")),
            says: judged.says(),
            evidence: evidence.map(|(evidence, verdict)| GateEvidence {
                evaluation: evidence.evaluation.to_string(),
                evaluated_at: evidence.at.map(utc::to_millisecond),
                version: evidence.version,
                baseline: evidence.baseline,
                rows: evidence.evaluated,
                improvement: verdict.improvement,
                low: verdict.low,
                reasons: verdict.reasons.clone(),
            }),
            acts: gate.acts.map(|acts| GateActs {
                cooldown_seconds: acts.cooldown.as_secs(),
                demotes: acts.demotes == Demotes::AfterTwo,
                next: step.describe(),
            }),
        }
    }
}

impl Judged {
    /// Returns the gate's verdict, or why there is none.
    pub fn says(&self) -> &'static str {
        match (&self.verdict, self.challenger) {
            (Some((_, verdict)), _) => verdict.as_str(),
            (None, Some(_)) => "unevaluated",
            (None, None) => "unchallenged",
        }
    }
}

impl Step {
    /// Describes what the gate does next.
    pub fn describe(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Rests(why) => Some(why.clone()),
            Self::Moves(to) => Some(format!(
                "a worker moves `{}` to version {}",
                to.alias, to.version
            )),
            Self::Refused(why) => Some(format!("refused: {why}")),
        }
    }
}
