//! What the server and its models are: metadata and health.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{datatype::Datatype, error::OipError, infer::check_known, path::ModelPath};
use crate::{
    domain::model::{Input, Output, ReadyVersion},
    serve::{
        caller::{Caller, Right},
        error::ApiError,
        routes::Shared,
        state::Serving,
    },
};

/// Extensions of the protocol that the server has, by Triton's names.
pub const EXTENSIONS: [&str; 2] = ["binary_tensor_data", "model_repository"];
/// What models run on, by Triton's name.
pub const PLATFORM: &str = "onnxruntime_onnx";

/// The metadata of a model.
#[derive(Debug, Serialize)]
pub struct ModelMetadata {
    pub name: String,
    /// All versions that may score.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata>,
    pub outputs: Vec<TensorMetadata>,
}

/// The metadata of an input or output.
#[derive(Debug, Serialize)]
pub struct TensorMetadata {
    pub name: String,
    pub datatype: &'static str,
    /// `-1`: any number of rows.
    pub shape: Vec<i64>,
    /// Names of the values of a row, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<PlaceNames>,
}

/// The names of a row's values, in order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceNames {
    /// Of an input.
    Features(Vec<String>),
    /// Of an output.
    Classes(Vec<String>),
}

/// `GET /v2`.
pub async fn server() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({"name": "helenus", "version": version, "extensions": EXTENSIONS})).into_response()
}

/// `GET /v2/health/live`.
pub async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

/// `GET /v2/health/ready`: 503 with the reason while requests should be sent elsewhere.
pub async fn ready(State(serving): Shared) -> Response {
    match serving.is_ready() {
        Ok(()) => Json(json!({"ready": true})).into_response(),
        Err(reason) => {
            let body = Json(json!({"ready": false, "error": reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// `GET /v2/models/{model}[/versions/{version}]`.
pub async fn model(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    path: ModelPath,
) -> Result<Json<ModelMetadata>, OipError> {
    let version = path.version.as_deref();
    Ok(Json(
        metadata(&serving, &caller, &path.model, version).await?,
    ))
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`: loads the version, so that the answer is
/// true.
pub async fn model_ready(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    path: ModelPath,
) -> Result<Response, OipError> {
    check_visible(&caller, &path.model)?;
    check_known(&path.model)?;
    match serving.model(&path.model, path.version.as_deref()).await {
        Ok(_) => Ok(Json(json!({"name": path.model, "ready": true})).into_response()),
        Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
            let body = json!({"name": path.model, "ready": false, "error": error.line()});
            Ok((error.status, Json(body)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the metadata of a version.
///
/// # Errors
/// 403, 404, or 503 if Cassandra does not answer.
pub async fn metadata(
    serving: &Serving,
    caller: &Caller,
    name: &str,
    version: Option<&str>,
) -> Result<ModelMetadata, ApiError> {
    check_visible(caller, name)?;
    check_known(name)?;
    let known = serving.index.model(&serving.store, name).await?;
    let ready = known.version(version)?;
    Ok(ModelMetadata {
        name: known.name.clone(),
        versions: known.ready.keys().map(ToString::to_string).collect(),
        platform: PLATFORM,
        inputs: inputs(ready),
        outputs: ready
            .admitted
            .signature
            .outputs
            .iter()
            .map(output)
            .collect(),
    })
}

/// Checks that a caller may know a model: those who score with it need its signature.
///
/// # Errors
/// 403.
pub fn check_visible(caller: &Caller, name: &str) -> Result<(), ApiError> {
    let score = caller.check_model(Right::Score, name);
    score.or_else(|_| caller.check_model(Right::Read, name))
}

fn inputs(ready: &ReadyVersion) -> Vec<TensorMetadata> {
    // Features are those of the wide inputs, one after the other.
    let mut features = ready.admitted.feature_names.iter();
    let inputs = ready.admitted.signature.inputs.iter();
    let mut named = |input: &Input| match input.width() {
        1 => None,
        width => {
            let names: Vec<_> = features.by_ref().take(width).cloned().collect();
            (names.len() == width).then_some(PlaceNames::Features(names))
        }
    };
    inputs
        .map(|input| TensorMetadata {
            name: input.name.clone(),
            datatype: Datatype::of(input.element).as_str(),
            shape: any_rows(&input.dims),
            parameters: named(input),
        })
        .collect()
}

fn output(output: &Output) -> TensorMetadata {
    let classes = output.classes.as_ref();
    TensorMetadata {
        name: output.public_name.clone(),
        datatype: Datatype::of(output.element).as_str(),
        shape: any_rows(&output.dims),
        parameters: classes.map(|classes| PlaceNames::Classes(classes.names.clone())),
    }
}

fn any_rows(dims: &[usize]) -> Vec<i64> {
    let dims = dims.iter().map(|dim| *dim as i64);
    std::iter::once(-1).chain(dims).collect()
}
