//! Failed requests as the protocol says them: `{"error": "text"}`.

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{domain::problem::Problem, serve::error::ApiError};

/// An error whose body is `{"error": "text"}`.
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
        let body = Json(json!({ "error": error.line() }));
        let mut response = (error.status, body).into_response();
        if let Some(seconds) = error.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
