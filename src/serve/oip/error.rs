//! Failed requests as the protocol says them: `{"error": "text"}`.

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{domain::problem::Problem, serve::error::ApiError};

/// The body of a failed request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OipErrorBody {
    /// What is wrong, where, and what to do
    pub error: String,
}

/// Errors that every route of a model can answer.
#[derive(utoipa::IntoResponses)]
pub enum OipErrorResponses {
    /// The request is invalid
    #[response(status = 400)]
    Invalid(OipErrorBody),
    /// The token is missing or unknown
    #[response(status = 401)]
    Unauthorized(OipErrorBody),
    /// The token does not have the right to do this
    #[response(status = 403)]
    Forbidden(OipErrorBody),
    /// There is no such model or version
    #[response(status = 404)]
    NotFound(OipErrorBody),
    /// The body did not arrive in time
    #[response(status = 408)]
    TimedOut(OipErrorBody),
    /// The body, or the number of rows, exceeds a limit
    #[response(status = 413)]
    TooLarge(OipErrorBody),
    /// Too many requests wait: `Retry-After` says for how long to wait
    #[response(status = 429)]
    Overloaded(OipErrorBody),
    /// The request cannot be served now: `Retry-After` says for how long to wait
    #[response(status = 503)]
    Unavailable(OipErrorBody),
}

/// An error whose body is an [`OipErrorBody`].
#[derive(Debug)]
pub struct OipError(pub ApiError);

impl From<ApiError> for OipError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<Problem> for OipError {
    fn from(problem: Problem) -> Self {
        Self(ApiError::bad(problem))
    }
}

impl IntoResponse for OipError {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let body = Json(OipErrorBody {
            error: error.line(),
        });
        let mut response = (error.status, body).into_response();
        if let Some(seconds) = error.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
