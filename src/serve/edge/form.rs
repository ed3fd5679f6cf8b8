//! The form of errors: each API has its own, and none is plain text.

use axum::{
    Json,
    body::to_bytes,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{domain::problem::Problem, serve::error::ApiError};

/// Largest text that a rejection of the framework has.
const MAX_TEXT: usize = 4096;

/// How a path's errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{"error": {"code", "message", …}}`.
    Detailed,
    /// `{"error": "text"}`, as the Open Inference Protocol has it.
    Inference,
    /// As `Detailed`; what the routes themselves answer stays as it is: `/live`, `/ready`.
    Plain,
}

impl ErrorForm {
    /// Returns the form for a path.
    pub fn for_path(path: &str) -> Self {
        let is_in = |api: &str| {
            let rest = path.strip_prefix(api);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match () {
            () if is_in("/v2") => Self::Inference,
            () if is_in("/v1") => Self::Detailed,
            () => Self::Plain,
        }
    }

    /// Returns the answer that tells of an error.
    pub fn response(self, error: &ApiError) -> Response {
        let body = match self {
            Self::Inference => Json(json!({"error": error.line()})).into_response(),
            Self::Detailed | Self::Plain => Json(error.body()).into_response(),
        };
        let mut response = (error.status, body).into_response();
        error.add_headers(response.headers_mut());
        response
    }

    /// Replaces an error in plain text, which the framework made, by one of this form.
    pub async fn without_plain_errors(self, response: Response) -> Response {
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        if self == Self::Plain || !is_error || !is_text(&response) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let text = match to_bytes(body, MAX_TEXT).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => error.to_string(),
        };
        let message = match text.trim() {
            "" => parts.status.canonical_reason().unwrap_or("invalid request"),
            text => text,
        };
        let problem = Problem::new("request.invalid", message);
        let mut replaced = self.response(&ApiError::new(parts.status, problem));
        for (name, value) in &parts.headers {
            if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
                replaced.headers_mut().append(name, value.clone());
            }
        }
        replaced
    }
}

fn is_text(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn the_path_decides_the_form() {
        for (path, form) in [
            ("/v2", ErrorForm::Inference),
            ("/v2/models/x/infer", ErrorForm::Inference),
            ("/v22", ErrorForm::Plain),
            ("/v1/jobs", ErrorForm::Detailed),
            ("/ready", ErrorForm::Plain),
            ("/", ErrorForm::Plain),
        ] {
            assert_eq!(ErrorForm::for_path(path), form, "{path}");
        }
    }

    #[tokio::test]
    async fn a_plain_error_of_the_framework_gets_the_form_and_keeps_its_headers() {
        let plain = || {
            let allow = [(header::ALLOW, "GET")];
            (StatusCode::BAD_REQUEST, allow, "Invalid URL").into_response()
        };
        let replaced = ErrorForm::Detailed.without_plain_errors(plain()).await;
        assert_eq!(replaced.status(), StatusCode::BAD_REQUEST);
        assert_eq!(replaced.headers()[header::ALLOW], "GET");
        let body = to_bytes(replaced.into_body(), 1000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["message"], "Invalid URL");
        let replaced = ErrorForm::Inference.without_plain_errors(plain()).await;
        let body = to_bytes(replaced.into_body(), 1000).await.unwrap();
        assert_eq!(body, "{\"error\":\"Invalid URL\"}");
        let kept = ErrorForm::Plain.without_plain_errors(plain()).await;
        let body = to_bytes(kept.into_body(), 1000).await.unwrap();
        assert_eq!(body, "Invalid URL");
    }
}
