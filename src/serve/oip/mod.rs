//! The Open Inference Protocol, version 2: raw tensors over REST, with the binary extension.
//!
//! [`inputs`] turns the tensors of a request into those of a model and [`answer`] its outputs into
//! an answer; gRPC uses the same code. A value is taken exactly or refused: it is never rounded to
//! another type, and a missing number never becomes NaN.
//!
//! Source: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`; the binary
//! extension and the repository's index: Triton, `docs/protocol/`.

pub mod answer;
pub mod binary;
pub mod datatype;
pub mod error;
pub mod exact;
pub mod infer;
pub mod inputs;
pub mod json_data;
pub mod metadata;
pub mod outputs;
pub mod path;
pub mod repository;
pub mod request;
pub mod values;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use super::state::Serving;

/// Returns the routes of the protocol.
pub fn routes() -> Router<Arc<Serving>> {
    let model = "/v2/models/{model}";
    let version = "/v2/models/{model}/versions/{version}";
    let mut router = Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/v2/repository/index", post(repository::index));
    for path in [model, version] {
        router = router
            .route(path, get(metadata::model))
            .route(&format!("{path}/ready"), get(metadata::model_ready))
            .route(&format!("{path}/infer"), post(infer::infer));
    }
    router
}
