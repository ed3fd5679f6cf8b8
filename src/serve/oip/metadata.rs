//! What the server and its models are: metadata and health.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::{
    datatype::Datatype,
    error::{OipError, OipErrorBody, OipErrorResponses},
    jobs::{self, JobTarget, job_name},
    path::ModelPath,
    target::{check_ready, check_visible},
};
use crate::{
    domain::{
        model::{Input, Output, ReadyVersion, check_name},
        problem::Problem,
    },
    serve::{caller::Caller, error::ApiError, routes::Shared, state::Serving},
};

/// Extensions of the protocol that the server has, by Triton's names.
pub const EXTENSIONS: [&str; 2] = ["binary_tensor_data", "model_repository"];
/// What models run on, by Triton's name.
pub const PLATFORM: &str = "onnxruntime_onnx";

/// The metadata of the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    /// Extensions of the protocol, by Triton's names.
    pub extensions: [&'static str; 2],
}

/// Whether the server runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServerLive {
    live: bool,
}

/// Whether requests should be sent to the server.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServerReady {
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether a version is loaded.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelReady {
    name: String,
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The metadata of a model, or of a job as one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelMetadata {
    pub name: String,
    /// All versions that may score; of a job, those that it serves.
    pub versions: Vec<String>,
    pub platform: &'static str,
    pub inputs: Vec<TensorMetadata>,
    pub outputs: Vec<TensorMetadata>,
}

/// The metadata of an input or output.
#[derive(Debug, Serialize, utoipa::ToSchema)]
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
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlaceNames {
    /// Of an input.
    Features(Vec<String>),
    /// Of an output.
    Classes(Vec<String>),
}

/// Returns the name, version and extensions of the server.
#[utoipa::path(
    get,
    path = "/v2",
    tag = "inference",
    responses(
        (status = 200, description = "The server", body = ServerMetadata),
        (status = 401, description = "The token is missing or unknown", body = OipErrorBody),
    ),
)]
pub async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "helenus",
        version: env!("CARGO_PKG_VERSION"),
        extensions: EXTENSIONS,
    })
}

/// Answers 200 while the process runs.
#[utoipa::path(
    get,
    path = "/v2/health/live",
    tag = "inference",
    security(()),
    responses((status = 200, description = "The process runs", body = ServerLive)),
)]
pub async fn live() -> Json<ServerLive> {
    Json(ServerLive { live: true })
}

/// Answers 200, or 503 with the reason while requests should be sent elsewhere.
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    tag = "inference",
    security(()),
    responses(
        (status = 200, description = "Ready", body = ServerReady),
        (status = 503, description = "Why not", body = ServerReady),
    ),
)]
pub async fn ready(State(serving): Shared) -> (StatusCode, Json<ServerReady>) {
    let (status, error) = match serving.is_ready() {
        Ok(()) => (StatusCode::OK, None),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, Some(reason.to_string())),
    };
    let ready = error.is_none();
    (status, Json(ServerReady { ready, error }))
}

/// Returns the versions, inputs and outputs of a model or job.
#[utoipa::path(
    get,
    path = "/v2/models/{model}",
    tag = "inference",
    params(("model" = String, Path, description = "The model, or `job:` and the name of a job")),
    responses((status = 200, description = "The model", body = ModelMetadata), OipErrorResponses),
)]
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

/// Loads a version, the champion if none is named, so that the answer is true.
#[utoipa::path(
    get,
    path = "/v2/models/{model}/ready",
    tag = "inference",
    params(("model" = String, Path, description = "The model, or `job:` and the name of a job")),
    responses(
        (status = 200, description = "It is loaded", body = ModelReady),
        OipErrorResponses,
        (status = 503, description = "Why it is not", body = ModelReady),
    ),
)]
pub async fn model_ready(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    path: ModelPath,
) -> Result<(StatusCode, Json<ModelReady>), OipError> {
    let version = path.version.as_deref();
    let (status, error) = match check_ready(&serving, &caller, &path.model, version).await {
        Ok(()) => (StatusCode::OK, None),
        Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
            (error.status, Some(error.line()))
        }
        Err(error) => return Err(error.into()),
    };
    let answer = ModelReady {
        name: path.model,
        ready: error.is_none(),
        error,
    };
    Ok((status, Json(answer)))
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
    if let Some(job) = job_name(name) {
        return Ok(job_metadata(&JobTarget::find(serving, job, version)?));
    }
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

/// Returns the metadata of a job as a model of the protocol.
fn job_metadata(target: &JobTarget) -> ModelMetadata {
    let JobTarget { job, signature, .. } = target;
    let input = |input: &Input| TensorMetadata {
        name: input.name.clone(),
        datatype: Datatype::from_element(input.element).as_str(),
        shape: any_rows(&input.dims),
        parameters: None,
    };
    ModelMetadata {
        name: jobs::model_name(&job.job.job),
        versions: job.versions.keys().map(ToString::to_string).collect(),
        platform: jobs::PLATFORM,
        inputs: signature.inputs.iter().map(input).collect(),
        outputs: signature.outputs.iter().map(output).collect(),
    }
}

/// Refuses names that no model can have, before Cassandra is asked.
///
/// # Errors
/// 404.
pub fn check_known(name: &str) -> Result<(), ApiError> {
    check_name("a model", name).map_err(|_| {
        let shown: String = name.chars().take(60).collect();
        let message = format!("there is no model `{shown}`");
        ApiError::not_found(Problem::new("model.unknown", message))
    })
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
            datatype: Datatype::from_element(input.element).as_str(),
            shape: any_rows(&input.dims),
            parameters: named(input),
        })
        .collect()
}

fn output(output: &Output) -> TensorMetadata {
    let classes = output.classes.as_ref();
    TensorMetadata {
        name: output.public_name.clone(),
        datatype: Datatype::from_element(output.element).as_str(),
        shape: any_rows(&output.dims),
        parameters: classes.map(|classes| PlaceNames::Classes(classes.names.clone())),
    }
}

fn any_rows(dims: &[usize]) -> Vec<i64> {
    let dims = dims.iter().map(|dim| *dim as i64);
    std::iter::once(-1).chain(dims).collect()
}
