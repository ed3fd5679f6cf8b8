//! `POST /v2/repository/index`: all models, jobs and versions that the caller may see.

use std::sync::Arc;

use axum::{Extension, Json, body::Bytes, extract::State};
use serde::{Deserialize, Serialize};

use super::{
    error::{OipError, OipErrorResponses},
    jobs::model_name,
    target::check_visible,
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

/// A version of a model or job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct IndexEntry {
    name: String,
    version: String,
    /// `READY` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it is unavailable.
    reason: String,
}

/// Lists the models and their versions, then the jobs that are served and theirs.
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
    for (job, served) in serving.residents.all() {
        let name = model_name(&job);
        if check_visible(&caller, &name).is_err() {
            continue;
        }
        entries.extend(served.versions.keys().map(|version| IndexEntry {
            name: name.clone(),
            version: version.to_string(),
            state: "READY",
            reason: String::new(),
        }));
    }
    Ok(Json(entries))
}
