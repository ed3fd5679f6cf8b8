//! What a caller is told when a request fails.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::tokens::INVALID_TOKEN;
use crate::{
    domain::problem::Problem,
    failure::{Exit, Failure},
    scorer::pool::ScoreError,
    store::driver::error::StoreError,
};

/// A failed request: the HTTP status and at least one problem.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    /// The first is the headline.
    pub problems: Vec<Problem>,
    /// Seconds after which the same request may succeed.
    pub retry_after: Option<u32>,
}

/// The body of a failed request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What is wrong, where, and what to do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// Stable code for machines.
    pub code: String,
    pub message: String,
    /// Where it is: a field of the body, a row, a parameter.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Further problems of the same request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub others: Vec<ErrorDetail>,
}

/// Errors that every route of `/v1` can answer.
#[derive(utoipa::IntoResponses)]
pub enum ErrorResponses {
    /// The request is invalid: `where` says where
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The token is missing or unknown
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token does not have the right to do this
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// What the path names does not exist
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The body did not arrive in time
    #[response(status = 408)]
    TimedOut(ErrorBody),
    /// The body, or the number of rows, exceeds a limit
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Too many requests wait: `Retry-After` says for how long to wait
    #[response(status = 429)]
    Overloaded(ErrorBody),
    /// The request cannot be served now: `Retry-After` says for how long to wait
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

impl From<&Problem> for ErrorDetail {
    fn from(problem: &Problem) -> Self {
        Self {
            code: problem.code.clone(),
            message: problem.message.clone(),
            place: problem.place.clone(),
            help: problem.help.clone(),
            others: Vec::new(),
        }
    }
}

impl ApiError {
    /// Creates an error with one problem.
    pub fn new(status: StatusCode, problem: Problem) -> Self {
        let retry_after = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        };
        Self {
            status,
            problems: vec![problem],
            retry_after,
        }
    }

    /// Renames the field at the start of each place.
    pub fn moved(mut self, from: &str, to: &str) -> Self {
        for place in self
            .problems
            .iter_mut()
            .filter_map(|one| one.place.as_mut())
        {
            if let Some(rest) = place.strip_prefix(from) {
                *place = format!("{to}{rest}");
            }
        }
        self
    }

    /// The request is invalid (400).
    pub fn bad(problem: Problem) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem)
    }

    /// What the request names does not exist (404).
    pub fn not_found(problem: Problem) -> Self {
        Self::new(StatusCode::NOT_FOUND, problem)
    }

    /// Too many requests wait already (429).
    pub fn overloaded(what: &str) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Problem::new(
                "serve.overloaded",
                format!("too many requests wait for {what}"),
            )
            .help("wait for the time in `Retry-After`, or add servers"),
        )
    }

    /// The request cannot be served now (503).
    pub fn unavailable(problem: Problem) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, problem)
    }

    /// The request took longer than its time limit (503).
    pub fn timed_out() -> Self {
        Self::unavailable(Problem::new(
            "serve.timed_out",
            "the request was not answered within its time limit",
        ))
    }

    /// Returns the headline in one line: message, place and help.
    pub fn line(&self) -> String {
        self.problems.first().map(Problem::line).unwrap_or_default()
    }

    /// Returns the body.
    pub fn body(&self) -> ErrorBody {
        let mut details = self.problems.iter().map(ErrorDetail::from);
        let mut error = details.next().unwrap_or_else(|| ErrorDetail {
            code: "serve.failed".to_owned(),
            message: "the request failed".to_owned(),
            place: None,
            help: None,
            others: Vec::new(),
        });
        error.others = details.collect();
        ErrorBody { error }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let status = match failure.exit {
            Exit::Input => StatusCode::BAD_REQUEST,
            Exit::NotFound => StatusCode::NOT_FOUND,
            Exit::Conflict | Exit::No => StatusCode::CONFLICT,
            Exit::System | Exit::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            Exit::Done => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self {
            status,
            problems: failure.problems,
            retry_after,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Failure::from(error).into()
    }
}

impl From<ScoreError> for ApiError {
    fn from(error: ScoreError) -> Self {
        Self::unavailable(Problem::new("scorer.failed", error.to_string()))
    }
}

impl ApiError {
    /// Adds the headers that the status requires.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let is_invalid = self.problems.iter().any(|one| one.code == INVALID_TOKEN);
            let challenge = match is_invalid {
                true => "Bearer realm=\"helenus\", error=\"invalid_token\"",
                false => "Bearer realm=\"helenus\"",
            };
            let challenge = HeaderValue::from_static(challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        self.add_headers(response.headers_mut());
        response
    }
}
