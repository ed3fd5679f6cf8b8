//! Gates, for reading: does the challenger pass?

use std::sync::Arc;

use axum::{Extension, Json, extract::State};

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
};
use crate::{
    control::gates::{self, GateDetail},
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
    },
};

/// Returns a gate and its verdict.
#[utoipa::path(
    get,
    path = "/v1/models/{model}/gates/{gate}",
    tag = "models",
    params(
        ("model" = String, Path, description = "The model"),
        ("gate" = String, Path, description = "The gate"),
    ),
    responses((status = 200, description = "The gate", body = GateDetail), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((model, gate)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<GateDetail>, ApiError> {
    caller.check_model(Right::Read, &model)?;
    let gate = gates::find(&serving.store, &model, &gate).await?;
    let judged = gates::judge(&serving.store, gate, chrono::Utc::now()).await?;
    let step = gates::step(&serving.store, &judged).await?;
    Ok(Json(GateDetail::new(&judged, &step)))
}
