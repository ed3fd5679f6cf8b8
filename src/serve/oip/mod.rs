//! The Open Inference Protocol, version 2, over REST, with the binary extension.
//!
//! A request names a model, which is given raw tensors, or a job ([`jobs`]), which is given source
//! columns. [`inputs`] turns the tensors of a request into those of a model and [`answer`] its
//! outputs into an answer; gRPC uses the same code. A value is taken exactly or refused: it is never rounded to
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
pub mod jobs;
pub mod json_data;
pub mod metadata;
pub mod outputs;
pub mod path;
pub mod repository;
pub mod request;
pub mod target;
pub mod values;

use axum::routing::{get, post};

use super::routes::Route;

/// Returns the routes of the protocol. Those of a model are there with and without a version.
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/v2", get(metadata::server)),
        Route::get("/v2/health/live", get(metadata::live)),
        Route::get("/v2/health/ready", get(metadata::ready)),
        Route::post("/v2/repository/index", post(repository::index)),
        Route::get("/v2/models/{model}", get(metadata::model)),
        Route::get("/v2/models/{model}/ready", get(metadata::model_ready)),
        Route::post("/v2/models/{model}/infer", post(infer::infer)),
        Route::get(
            "/v2/models/{model}/versions/{version}",
            get(metadata::model),
        ),
        Route::get(
            "/v2/models/{model}/versions/{version}/ready",
            get(metadata::model_ready),
        ),
        Route::post(
            "/v2/models/{model}/versions/{version}/infer",
            post(infer::infer),
        ),
    ]
}
