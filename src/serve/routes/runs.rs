//! Runs on demand. The server writes what a person could write, a row of `run_requests`; workers
//! answer it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Shared,
    extract::{NoParams, Params, Payload, Segments},
    requests::RequestView,
    run_body::{self, RunBody},
    run_view::{self, FoundRun, RunView},
    score,
};
use crate::{
    domain::problem::Problem,
    engine::jobs,
    inspect::catalog::RunDetail,
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        progress::SplitCounter,
        requests,
    },
    store::{Store, runs::run_requests::RunRequest},
};

/// Runs of a job, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RunList {
    pub job: String,
    pub runs: Vec<RunDetail>,
}

/// Options of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOptions {
    /// Maximum number of runs, from 1 to 1000; 20 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i32>,
}

/// Asks for a run. A worker answers; the resource in `Location` says what came of it.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/runs",
    tag = "runs",
    params(
        ("job" = String, Path, description = "The job"),
        ("Idempotency-Key" = Option<String>, Header, description = "Requests of one job with the same key, within a day, are one request", max_length = 255),
    ),
    request_body(content = RunBody, content_type = "application/json"),
    responses(
        (status = 202, description = "The request is written", body = RunView, headers(("Location" = String, description = "The run"))),
        (status = 422, description = "The idempotency key was used with another body", body = crate::serve::error::ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn start(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    caller.check_job(Right::Run, &job)?;
    let store = &serving.store;
    check_job(store, &job).await?;
    let body: RunBody<'_> = match body.is_empty() {
        true => RunBody::default(),
        false => score::parse(&body)?,
    };
    let mut request = run_body::request(&serving, &caller, &job, body)?;
    request.dedupe_key = run_body::idempotency_key(&headers)?;
    let request = serving.idempotency.write(store, request).await?;
    let id = request.id;
    let found = run_view::find(store, &job, id).await?;
    let view = run_view::view(store, id, found, &mut SplitCounter::default()).await?;
    let location = format!("/v1/jobs/{}/runs/{id}", encoded(&job));
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(view),
    )
        .into_response())
}

/// Lists a job's runs, newest first.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/runs",
    tag = "runs",
    params(("job" = String, Path, description = "The job"), ListOptions),
    responses((status = 200, description = "The newest runs", body = RunList), ErrorResponses),
)]
pub async fn list(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Params(options): Params<ListOptions>,
) -> Result<Json<RunList>, ApiError> {
    caller.check_job(Right::Read, &job)?;
    let limit = options.limit.unwrap_or(20);
    if !(1..=1000).contains(&limit) {
        let message = format!("the limit {limit} is not between 1 and 1000");
        return Err(ApiError::bad(
            Problem::new("request.limit", message).at("limit"),
        ));
    }
    check_job(&serving.store, &job).await?;
    let runs = serving.store.runs(&job, limit).await?;
    Ok(Json(RunList {
        runs: runs.iter().map(RunDetail::from).collect(),
        job,
    }))
}

/// Returns a run, by its id or by the id of its request.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/runs/{id}",
    tag = "runs",
    params(
        ("job" = String, Path, description = "The job"),
        ("id" = String, Path, format = "uuid", description = "A request's or a run's id"),
    ),
    responses((status = 200, description = "The run", body = RunView), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((job, id)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<RunView>, ApiError> {
    caller.check_job(Right::Read, &job)?;
    let id = run_view::id(&id)?;
    let found = run_view::find(&serving.store, &job, id).await?;
    let view = run_view::view(&serving.store, id, found, &mut SplitCounter::default()).await?;
    Ok(Json(view))
}

/// Asks a run to stop. It is cancelled once no worker works on it; what it has written stays.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{job}/runs/{id}",
    tag = "runs",
    params(
        ("job" = String, Path, description = "The job"),
        ("id" = String, Path, format = "uuid", description = "A request's or a run's id"),
    ),
    responses(
        (status = 202, description = "The request to cancel is written", body = RequestView, headers(("Location" = String, description = "The request"))),
        (status = 409, description = "The run has ended, or there is no run yet", body = crate::serve::error::ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn cancel(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((job, id)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, ApiError> {
    caller.check_job(Right::Run, &job)?;
    let target = to_cancel(&serving.store, &job, run_view::id(&id)?).await?;
    let request = RunRequest {
        target_run: Some(target),
        ..requests::run_request(&caller, &job, "cancel")
    };
    serving.store.insert_run_request(&request).await?;
    Ok(super::requests::accepted(RequestView::of_run(
        &request, None,
    )))
}

/// Returns the run that a path names, if it has not ended.
async fn to_cancel(store: &Store, job: &str, id: Uuid) -> Result<Uuid, ApiError> {
    let conflict = |code: &str, message: String| {
        ApiError::new(StatusCode::CONFLICT, Problem::new(code, message))
    };
    match run_view::find(store, job, id).await? {
        FoundRun::Run { run, .. } if run.state.is_terminal() => {
            let message = format!("run {} has ended: {}", run.run_id, run.state);
            Err(conflict("run.ended", message))
        }
        FoundRun::Run { run, .. } => Ok(run.run_id),
        FoundRun::Request(request, None) => Err(conflict(
            "run.not_open",
            format!("no worker has opened a run for request {} yet", request.id),
        )),
        FoundRun::Request(request, Some((kind, _))) => Err(conflict(
            "run.none",
            format!("request {} has no run: it is {kind}", request.id),
        )),
    }
}

/// Checks that a job exists, whether or not it is served here.
async fn check_job(store: &Store, job: &str) -> Result<(), ApiError> {
    let rows = store.job_rows(job).await?;
    match rows.iter().any(|row| row.revision.is_some()) {
        true => Ok(()),
        false => Err(jobs::unknown(store, job).await?.into()),
    }
}

/// Percent-encodes a segment of a path.
pub fn encoded(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_any_job() {
        assert_eq!(encoded("tumour_1"), "tumour_1");
        assert_eq!(encoded("a/b ö"), "a%2Fb%20%C3%B6");
    }
}
