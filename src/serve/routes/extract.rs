//! What handlers take from a request, with errors in the form of all others.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{domain::problem::Problem, serve::error::ApiError};

/// The parameters of the path, each decoded once.
pub struct Segments<T>(pub T);

/// The parameters of the query. Unknown ones are refused if `T` denies unknown fields.
pub struct Params<T>(pub T);

/// The query of a route without parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// The body, within the limit on its size.
pub struct Payload(pub Bytes);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let invalid = |why: String| ApiError::bad(Problem::new("request.path", why).at("path"));
        path.map(|path| Self(path.0))
            .map_err(|rejection| invalid(rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let invalid = |why: String| ApiError::bad(Problem::new("request.query", why).at("query"));
        query
            .map(|query| Self(query.0))
            .map_err(|rejection| invalid(rejection.body_text()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|rejection| {
                let problem = match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                        "request.too_large",
                        "the body exceeds the limit on its size",
                    )
                    .help("send several requests, or raise serve.max_body_mib"),
                    _ => Problem::new("request.body", rejection.body_text()),
                };
                ApiError::new(rejection.status(), problem.at("body"))
            })
    }
}
