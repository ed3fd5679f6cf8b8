//! `/live`, `/ready` and `/metrics`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Shared;
use crate::metrics;

/// Answers 200 while the process runs.
#[utoipa::path(
    get,
    path = "/live",
    tag = "health",
    security(()),
    responses((status = 200, description = "The process runs", content_type = "text/plain", body = String)),
)]
pub async fn live() -> &'static str {
    "ok\n"
}

/// Answers 200, or 503 with the reason while requests should be sent elsewhere.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "Ready", content_type = "text/plain", body = String),
        (status = 503, description = "Why not", content_type = "text/plain", body = String),
    ),
)]
pub async fn ready(State(serving): Shared) -> Response {
    match serving.is_ready() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Answers in Prometheus text format 0.0.4.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    security(()),
    responses((status = 200, description = "Metrics", content_type = "text/plain", body = String)),
)]
pub async fn metrics(State(serving): Shared) -> Response {
    let stale = serving.residents.stale().as_secs_f64();
    metrics::SERVED_STALE.gauge([]).set(stale);
    let resident = serving.models.loaded().len();
    metrics::RESIDENT_MODELS.gauge([]).set(resident as f64);
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (text, metrics::install().render()).into_response()
}
