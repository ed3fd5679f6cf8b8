//! Gates, for reading: does the challenger pass?

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::Serialize;

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
};
use crate::{
    control::gates,
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
    },
};

/// A gate and its verdict on the challenger.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GateView {
    pub model: String,
    pub name: String,
    /// The alias that the gate guards.
    pub alias: String,
    /// The version that the alias points to.
    pub points_at: Option<i32>,
    /// The version that must pass.
    pub challenger_version: Option<i32>,
    pub metric: String,
    /// passes, fails, unevaluated or unchallenged.
    pub says: &'static str,
    /// Null if the challenger was never evaluated.
    pub evidence: Option<GateEvidenceView>,
}

/// The newest evaluation of the challenger, as the gate reads it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GateEvidenceView {
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

/// Returns a gate and its verdict.
#[utoipa::path(
    get,
    path = "/v1/models/{model}/gates/{gate}",
    tag = "models",
    params(
        ("model" = String, Path, description = "The model"),
        ("gate" = String, Path, description = "The gate"),
    ),
    responses((status = 200, description = "The gate", body = GateView), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((model, gate)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<GateView>, ApiError> {
    caller.check_model(Right::Read, &model)?;
    let gate = gates::find(&serving.store, &model, &gate).await?;
    let judged = gates::judge(&serving.store, gate, chrono::Utc::now()).await?;
    let says = match (&judged.verdict, judged.challenger) {
        (Some((_, verdict)), _) => verdict.as_str(),
        (None, Some(_)) => "unevaluated",
        (None, None) => "unchallenged",
    };
    let evidence = judged.verdict.map(|(evidence, verdict)| GateEvidenceView {
        evaluation: evidence.evaluation.to_string(),
        evaluated_at: evidence.at.map(|at| at.to_rfc3339()),
        version: evidence.version,
        baseline: evidence.baseline,
        rows: evidence.evaluated,
        improvement: verdict.improvement,
        low: verdict.low,
        reasons: verdict.reasons,
    });
    Ok(Json(GateView {
        model: judged.gate.model,
        name: judged.gate.name,
        alias: judged.gate.alias,
        points_at: judged.points_at,
        challenger_version: judged.challenger,
        metric: judged.gate.metric,
        says,
        evidence,
    }))
}
