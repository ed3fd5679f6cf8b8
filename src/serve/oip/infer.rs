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
    target::{InferTarget, Inference},
};
use crate::{
    domain::{model::tensor::OutputBatch, problem::Problem},
    serve::{
        caller::Caller,
        error::ApiError,
        models::LoadedModel,
        routes::{Shared, score::parse},
        rows::RowLimits,
    },
};

/// Scores raw tensors with a version of a model, or source columns with that of a job: the champion
/// if none is named.
///
/// With the header `Inference-Header-Content-Length` the body is JSON of that length, followed by
/// the values of the inputs that have `binary_data_size`. If an output is asked for as binary data,
/// so is the answer, which then has the type `application/octet-stream`.
#[utoipa::path(
    post,
    path = "/v2/models/{model}/infer",
    tag = "inference",
    params(("model" = String, Path, description = "The model, or `job:` and the name of a job")),
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
    let version = path.version.as_deref();
    let target = InferTarget::find(&serving, &caller, &path.model, version).await?;
    let body = body.map_err(|rejection| {
        let problem = Problem::new("request.body", rejection.body_text()).at("body");
        OipError(ApiError::new(rejection.status(), problem))
    })?;
    let (json, binary) = request::split(&headers, &body)?;
    let request: InferBody<'_> = parse(json)?;
    let signature = target.signature();
    let wanted = request.outputs().iter().map(|output| Wanted {
        name: &output.name,
        classification: output.is_classification(),
    });
    let wanted = wanted_outputs(signature, wanted)?;
    let tensors = request.tensors(binary)?;
    let limits = RowLimits::from_settings(serving.settings());
    let Inference {
        version,
        outputs: batch,
    } = target.infer(&tensors, limits).await?;
    let outputs: Vec<_> = wanted
        .into_iter()
        .enumerate()
        .map(|(at, index)| AnswerOutput {
            index,
            is_binary: request.is_binary(at),
        })
        .collect();
    let head = AnswerHead {
        model: &target.name(),
        version,
        id: request.id.as_deref(),
    };
    Ok(answer::write(head, signature, &batch, &outputs)?)
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
