//! `POST /v2/models/{model}[/versions/{version}]/infer`.

use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};

use super::{
    answer::{self, AnswerHead, AnswerOutput, InferAnswer},
    error::{OipError, OipErrorResponses},
    inputs::{GivenTensor, input_batch},
    outputs::{Wanted, wanted_outputs},
    path::ModelPath,
    request::{self, InferBody},
};
use crate::{
    domain::{
        model::{check_name, tensor::OutputBatch},
        problem::Problem,
    },
    serve::{
        caller::{Caller, Right},
        error::ApiError,
        models::LoadedModel,
        routes::{Shared, score::parse},
        state::Serving,
    },
};

/// Scores raw tensors with a version, the champion if none is named.
///
/// With the header `Inference-Header-Content-Length` the body is JSON of that length, followed by
/// the values of the inputs that have `binary_data_size`. If an output is asked for as binary data,
/// so is the answer, which then has the type `application/octet-stream`.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/infer",
    tag = "inference",
    params(("model" = String, Path, description = "The model")),
    request_body(content = InferBody<'_>),
    responses(
        (status = 200, description = "The outputs", content(
            (InferAnswer<'_> = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        OipErrorResponses,
    ),
)]
pub async fn infer(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    path: ModelPath,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OipError> {
    let model = model(&serving, &caller, &path.model, path.version.as_deref()).await?;
    let body = body.map_err(|rejection| {
        let problem = Problem::new("request.body", rejection.body_text()).at("body");
        OipError(ApiError::new(rejection.status(), problem))
    })?;
    let (json, binary) = request::split(&headers, &body)?;
    let request: InferBody<'_> = parse(json)?;
    let signature = &model.ready.admitted.signature;
    let wanted = request.outputs().iter().map(|output| Wanted {
        name: &output.name,
        classification: output.is_classification(),
    });
    let wanted = wanted_outputs(signature, wanted)?;
    let tensors = request.tensors(binary)?;
    let batch = run(&model, &tensors, serving.settings().max_rows).await?;
    let outputs: Vec<_> = wanted
        .into_iter()
        .enumerate()
        .map(|(at, index)| AnswerOutput {
            index,
            is_binary: request.is_binary(at),
        })
        .collect();
    let head = AnswerHead {
        model: &model.ready.model,
        version: model.ready.version,
        id: request.id.as_deref(),
    };
    Ok(answer::write(head, signature, &batch, &outputs)?)
}

/// Returns the loaded model that a caller wants to score with.
///
/// # Errors
/// 403, 404, or 503 if it cannot be loaded.
pub async fn model(
    serving: &Serving,
    caller: &Caller,
    name: &str,
    version: Option<&str>,
) -> Result<Arc<LoadedModel>, ApiError> {
    caller.check_model(Right::Score, name)?;
    check_known(name)?;
    serving.model(name, version).await
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

/// Scores the tensors of a request, all rows of them.
///
/// # Errors
/// 400: wrong tensors, or rows that ONNX Runtime refuses; 413, 429, 503.
pub async fn run(
    model: &LoadedModel,
    tensors: &[GivenTensor<'_>],
    max_rows: usize,
) -> Result<OutputBatch, ApiError> {
    let inputs = input_batch(&model.ready.admitted.signature, tensors, max_rows)?;
    let inferred = model.infer(inputs).await?;
    let Some((row, reason)) = inferred.refused.first() else {
        return Ok(inferred.outputs);
    };
    let others = match inferred.refused.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more row(s))"),
    };
    Err(ApiError::bad(
        Problem::new(
            "oip.refused",
            format!("the model refuses row {row}: {reason}{others}"),
        )
        .at("inputs")
        .help("send the request without these rows"),
    ))
}
