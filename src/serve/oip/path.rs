//! The model and version in a path.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::Deserialize;

use super::error::OipError;
use crate::{domain::problem::Problem, serve::error::ApiError};

/// `/v2/models/{model}[/versions/{version}]`.
#[derive(Debug, Deserialize)]
pub struct ModelPath {
    pub model: String,
    /// Number or alias; `None`: the champion.
    pub version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = OipError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, OipError> {
        let path = Path::<Self>::from_request_parts(parts, state).await;
        path.map(|Path(path)| path).map_err(|rejection| {
            let problem = Problem::new("oip.path", rejection.body_text());
            OipError(ApiError::new(rejection.status(), problem))
        })
    }
}
