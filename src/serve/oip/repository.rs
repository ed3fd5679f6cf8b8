//! `POST /v2/repository/index`: all models and versions that the caller may see.

use std::sync::Arc;

use axum::{Extension, Json, body::Bytes, extract::State};
use serde::{Deserialize, Serialize};

use super::{
    error::{OipError, OipErrorResponses},
    metadata::check_visible,
};
use crate::{
    serve::{
        caller::Caller,
        error::ApiError,
        routes::{Shared, score::parse},
    },
    store::registry::admissions::Readiness,
};

/// The body, which may be missing.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub struct IndexRequest {
    /// Whether only versions that are ready are listed.
    #[serde(default)]
    ready: bool,
}

/// A version of a model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct IndexEntry {
    name: String,
    version: String,
    /// `READY` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it is unavailable.
    reason: String,
}

/// Lists the models and versions.
#[utoipa::path(
    post,
    path = "/v2/repository/index",
    tag = "inference",
    request_body(content = Option<IndexRequest>),
    responses((status = 200, description = "All versions", body = Vec<IndexEntry>), OipErrorResponses),
)]
pub async fn index(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    body: Bytes,
) -> Result<Json<Vec<IndexEntry>>, OipError> {
    let request: IndexRequest = match body.is_empty() {
        true => IndexRequest::default(),
        false => parse(&body)?,
    };
    let store = &serving.store;
    let mut entries = Vec::new();
    for name in store.models().await.map_err(ApiError::from)? {
        if check_visible(&caller, &name).is_err() {
            continue;
        }
        for row in store.versions(&name).await.map_err(ApiError::from)? {
            let readiness = store.readiness(&name, row.version).await;
            let (state, reason) = match readiness.map_err(ApiError::from)? {
                Readiness::Ready(_) => ("READY", String::new()),
                Readiness::Missing => continue,
                Readiness::Undecided => ("UNAVAILABLE", "not admitted yet".to_owned()),
                Readiness::Retired => ("UNAVAILABLE", "retired".to_owned()),
                Readiness::Rejected(why) => ("UNAVAILABLE", format!("rejected: {why}")),
                Readiness::Tampered(why) => ("UNAVAILABLE", format!("tampered: {why}")),
            };
            if state == "READY" || !request.ready {
                entries.push(IndexEntry {
                    name: name.clone(),
                    version: row.version.to_string(),
                    state,
                    reason,
                });
            }
        }
    }
    Ok(Json(entries))
}
