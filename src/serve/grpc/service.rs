//! The six calls of the service.

use std::sync::Arc;

use axum::http::Method;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{
    Request, Response, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tracing::Instrument;

use super::{
    Authorize,
    contents::{contents, is_classification, tensors},
    generated::{
        ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
        ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse,
        ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
        grpc_inference_service_server::GrpcInferenceService, model_infer_response,
        model_metadata_response,
    },
    status::status,
};
use crate::{
    domain::model::tensor::TensorData,
    metrics::RouteMeters,
    serve::{
        caller::Caller,
        error::ApiError,
        oip::{
            answer::shape,
            binary,
            datatype::Datatype,
            metadata::{PlaceNames, TensorMetadata, metadata},
            outputs::{Wanted, wanted_outputs},
            target::{InferTarget, Inference, check_ready},
        },
        rows::RowLimits,
        state::Serving,
        trace::{REQUEST_ID_KEY, Route, Trace},
    },
};

/// Answers with the code of REST.
pub struct InferenceService {
    serving: Arc<Serving>,
    authorize: Authorize,
    /// Requests that may be in progress.
    places: Semaphore,
    meters: RouteMeters,
}

impl InferenceService {
    /// Returns the service. `requests`: those that may be in progress; more are refused.
    pub fn new(serving: Arc<Serving>, authorize: Authorize, requests: usize) -> Self {
        Self {
            serving,
            authorize,
            places: Semaphore::new(requests),
            meters: RouteMeters::default(),
        }
    }

    fn caller(&self, metadata: &MetadataMap) -> Result<Arc<Caller>, ApiError> {
        let authorization = metadata.get("authorization");
        (self.authorize)(authorization.and_then(|text| text.to_str().ok()))
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let place = self.places.try_acquire();
        place.map_err(|_| ApiError::overloaded("the gRPC server"))
    }

    /// Answers a call of a known caller within the time limit of requests, and records it. `path`:
    /// the path of the method.
    async fn answer<T, F>(
        &self,
        path: &'static str,
        metadata: &MetadataMap,
        answer: impl FnOnce(Arc<Caller>) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let settings = self.serving.settings();
        let mut trace = Trace::begin(metadata.as_ref(), Method::POST, Route::Call(path));
        let span = trace.span();
        let answered = async {
            let caller = self.caller(metadata)?;
            trace.caller = Some(Arc::clone(&caller));
            let _place = self.place()?;
            let answered = tokio::time::timeout(settings.request_timeout, answer(caller)).await;
            answered.unwrap_or_else(|_| Err(ApiError::timed_out()))
        };
        let answered = answered.instrument(span).await;
        let code = match &answered {
            Ok(_) => 200,
            Err(error) => error.status.as_u16(),
        };
        let id = trace.end(code, None, &self.meters, settings.access_log);
        let mut answered = answered.map(Response::new).map_err(|error| status(&error));
        let metadata = match &mut answered {
            Ok(response) => response.metadata_mut(),
            Err(status) => status.metadata_mut(),
        };
        // An id is visible ASCII, which is always valid.
        if let Ok(id) = AsciiMetadataValue::try_from(id.as_bytes()) {
            metadata.insert(REQUEST_ID_KEY, id);
        }
        answered
    }

    async fn infer(
        &self,
        caller: Arc<Caller>,
        request: &ModelInferRequest,
    ) -> Result<ModelInferResponse, ApiError> {
        let version = version(&request.model_version);
        let name = &request.model_name;
        let target = InferTarget::find(&self.serving, &caller, name, version).await?;
        let signature = target.signature();
        let wanted = request.outputs.iter().map(|output| Wanted {
            name: &output.name,
            classification: is_classification(output),
        });
        let wanted = wanted_outputs(signature, wanted)?;
        let tensors = tensors(request)?;
        let limits = RowLimits::from_settings(self.serving.settings());
        let Inference {
            version,
            outputs: batch,
        } = target.infer(&tensors, limits).await?;
        // All outputs are raw, or none is. FP16 has no typed contents.
        let is_raw = !request.raw_input_contents.is_empty()
            || wanted
                .iter()
                .any(|at| matches!(batch.outputs[*at], TensorData::Float16(_)));
        let mut answer = ModelInferResponse {
            model_name: target.name(),
            // Empty if rows have different versions in an experiment.
            model_version: version.map_or_else(String::new, |version| version.to_string()),
            id: request.id.clone(),
            ..ModelInferResponse::default()
        };
        for at in wanted {
            let (output, data) = (&signature.outputs[at], &batch.outputs[at]);
            if is_raw {
                let mut bytes = Vec::new();
                binary::encode(data, &mut bytes);
                answer.raw_output_contents.push(bytes.into());
            }
            let shape = shape(output, batch.rows).into_iter();
            answer
                .outputs
                .push(model_infer_response::InferOutputTensor {
                    name: output.public_name.clone(),
                    datatype: Datatype::from_element(output.element).to_string(),
                    shape: shape.map(|dim| dim as i64).collect(),
                    contents: if is_raw { None } else { contents(data) },
                    ..model_infer_response::InferOutputTensor::default()
                });
        }
        Ok(answer)
    }

    async fn metadata(
        &self,
        caller: Arc<Caller>,
        request: &ModelMetadataRequest,
    ) -> Result<ModelMetadataResponse, ApiError> {
        let version = version(&request.version);
        let found = metadata(&self.serving, &caller, &request.name, version).await?;
        let tensors = found.inputs.iter().map(|tensor| ("input", tensor));
        let outputs = found.outputs.iter().map(|tensor| ("output", tensor));
        let properties = tensors.chain(outputs).filter_map(|(side, tensor)| {
            let (kind, names) = match tensor.parameters.as_ref()? {
                PlaceNames::Features(names) => ("features", names),
                PlaceNames::Classes(names) => ("classes", names),
            };
            let names = serde_json::to_string(names).ok()?;
            Some((format!("{side}.{}.{kind}", tensor.name), names))
        });
        Ok(ModelMetadataResponse {
            properties: properties.collect(),
            inputs: found.inputs.iter().map(tensor_metadata).collect(),
            outputs: found.outputs.iter().map(tensor_metadata).collect(),
            name: found.name,
            versions: found.versions,
            platform: found.platform.to_owned(),
        })
    }

    async fn is_ready(
        &self,
        caller: Arc<Caller>,
        request: &ModelReadyRequest,
    ) -> Result<ModelReadyResponse, ApiError> {
        let version = version(&request.version);
        check_ready(&self.serving, &caller, &request.name, version).await?;
        Ok(ModelReadyResponse { ready: true })
    }
}

/// Returns the version that a request names; an empty one is none.
fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn tensor_metadata(tensor: &TensorMetadata) -> model_metadata_response::TensorMetadata {
    model_metadata_response::TensorMetadata {
        name: tensor.name.clone(),
        datatype: tensor.datatype.to_owned(),
        shape: tensor.shape.clone(),
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    async fn server_live(
        &self,
        _request: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = self.serving.is_ready().is_ok();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        const PATH: &str = "/inference.GRPCInferenceService/ModelReady";
        let answer = |caller| self.is_ready(caller, request.get_ref());
        self.answer(PATH, request.metadata(), answer).await
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        const PATH: &str = "/inference.GRPCInferenceService/ServerMetadata";
        let answer = |_| async {
            Ok(ServerMetadataResponse {
                name: "helenus".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                // Those of REST do not concern gRPC, which has raw contents anyway.
                extensions: Vec::new(),
            })
        };
        self.answer(PATH, request.metadata(), answer).await
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        const PATH: &str = "/inference.GRPCInferenceService/ModelMetadata";
        let answer = |caller| self.metadata(caller, request.get_ref());
        self.answer(PATH, request.metadata(), answer).await
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        const PATH: &str = "/inference.GRPCInferenceService/ModelInfer";
        let answer = |caller| self.infer(caller, request.get_ref());
        self.answer(PATH, request.metadata(), answer).await
    }
}
