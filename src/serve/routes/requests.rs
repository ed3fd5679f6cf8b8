//! Requests that a worker answers, and their answers.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
    run_view::{self, AnswerView},
};
use crate::{
    codec::utc,
    domain::{answer::RequestAnswer, problem::Problem},
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        requests::{asked_at, find_alias_request, find_run_request},
    },
    store::{registry::alias_requests::AliasRequest, runs::run_requests::RunRequest},
};

/// A request that a worker answers.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RequestView {
    pub id: String,
    /// run, cancel, promote, rollback, and the other actions of `run_requests` and
    /// `alias_requests`.
    pub action: String,
    /// The job that it is about.
    pub job: Option<String>,
    /// The model that it is about.
    pub model: Option<String>,
    pub requested_by: Option<String>,
    #[schema(format = DateTime)]
    pub requested_at: Option<String>,
    /// Null until a worker has answered.
    pub answer: Option<AnswerView>,
    /// The run that was opened, joined or cancelled.
    pub run_id: Option<String>,
}

impl RequestView {
    /// Returns the view of a request for a run.
    pub fn of_run(request: &RunRequest, answer: Option<RequestAnswer>) -> Self {
        let action = request.action.clone();
        let base = Self {
            id: request.id.to_string(),
            action: action.unwrap_or_else(|| "run".to_owned()),
            job: request.job.clone(),
            model: None,
            requested_by: request.requested_by.clone(),
            requested_at: asked_at(request.id).map(utc::to_millisecond),
            answer: None,
            run_id: request.target_run.map(|run| run.to_string()),
        };
        base.answered(answer)
    }

    /// Returns the view of a request for an alias or a version.
    pub fn of_alias(request: &AliasRequest, answer: Option<RequestAnswer>) -> Self {
        let base = Self {
            id: request.id.to_string(),
            action: request.action.clone().unwrap_or_default(),
            job: None,
            model: request.model.clone(),
            requested_by: request.requested_by.clone(),
            requested_at: asked_at(request.id).map(utc::to_millisecond),
            answer: None,
            run_id: None,
        };
        base.answered(answer)
    }

    fn answered(mut self, answer: Option<RequestAnswer>) -> Self {
        let run_id = answer.as_ref().and_then(|answer| answer.run_id);
        self.run_id = run_id.map(|run| run.to_string()).or(self.run_id);
        self.answer = answer.map(|answer| AnswerView {
            kind: answer.kind.as_str(),
            reason: answer.reason,
        });
        self
    }
}

/// Answers 202 with the request's place.
pub fn accepted(view: RequestView) -> Response {
    let location = format!("/v1/requests/{}", view.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(view),
    )
        .into_response()
}

/// Returns a request and its answer.
#[utoipa::path(
    get,
    path = "/v1/requests/{id}",
    tag = "requests",
    params(("id" = String, Path, format = "uuid", description = "The request's id")),
    responses((status = 200, description = "The request", body = RequestView), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(id): Segments<String>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<RequestView>, ApiError> {
    caller.check(Right::Read)?;
    let id = run_view::id(&id)?;
    let store = &serving.store;
    if let Some(request) = find_run_request(store, id).await? {
        if let Some(job) = &request.job {
            caller.check_job(Right::Read, job)?;
        }
        let answer = store.answer(request.day, id).await?;
        return Ok(Json(RequestView::of_run(&request, answer)));
    }
    if let Some(request) = find_alias_request(store, id).await? {
        if let Some(model) = &request.model {
            caller.check_model(Right::Read, model)?;
        }
        let answer = store.answer(request.day, id).await?;
        return Ok(Json(RequestView::of_alias(&request, answer)));
    }
    let message = format!("there is no request {id}");
    Err(ApiError::not_found(
        Problem::new("request.unknown", message).help("requests are kept for 30 days"),
    ))
}
