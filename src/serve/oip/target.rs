//! What a request of the protocol names: a model, or a job as `job:NAME`.

use std::sync::Arc;

use super::{
    infer,
    inputs::GivenTensor,
    jobs::{JobTarget, job_name, model_name},
    metadata::check_known,
};
use crate::{
    domain::model::{Signature, tensor::OutputBatch},
    serve::{
        caller::{Caller, Right},
        error::ApiError,
        models::LoadedModel,
        rows::RowLimits,
        state::Serving,
    },
};

/// What scores the tensors of a request.
pub enum InferTarget {
    Model(Arc<LoadedModel>),
    Job(Box<JobTarget>),
}

/// The outputs of a request's rows.
pub struct Inference {
    /// The version that answered; `None` if rows have different ones in an experiment.
    pub version: Option<i32>,
    /// In the order of the signature's outputs.
    pub outputs: OutputBatch,
}

impl InferTarget {
    /// Returns what a caller wants to score with. `version`: a number or an alias; without it the
    /// champion answers.
    ///
    /// # Errors
    /// 403, 404, or 503 if it cannot be loaded.
    pub async fn find(
        serving: &Serving,
        caller: &Caller,
        name: &str,
        version: Option<&str>,
    ) -> Result<Self, ApiError> {
        match job_name(name) {
            Some(job) => {
                caller.check_job(Right::Score, job)?;
                let job = JobTarget::find(serving, job, version)?;
                Ok(Self::Job(Box::new(job)))
            }
            None => {
                caller.check_model(Right::Score, name)?;
                check_known(name)?;
                Ok(Self::Model(serving.model(name, version).await?))
            }
        }
    }

    /// Returns its name in the protocol.
    pub fn name(&self) -> String {
        match self {
            Self::Model(model) => model.ready.model.clone(),
            Self::Job(target) => model_name(&target.job.job.job),
        }
    }

    /// Returns its inputs and outputs.
    pub fn signature(&self) -> &Signature {
        match self {
            Self::Model(model) => &model.ready.admitted.signature,
            Self::Job(target) => &target.signature,
        }
    }

    /// Scores the tensors of a request, all rows of them.
    ///
    /// # Errors
    /// 400: wrong tensors, or rows that are refused; 413, 429, 503.
    pub async fn infer(
        &self,
        tensors: &[GivenTensor<'_>],
        limits: RowLimits,
    ) -> Result<Inference, ApiError> {
        match self {
            Self::Model(model) => Ok(Inference {
                version: Some(model.ready.version),
                outputs: infer::run(model, tensors, limits.rows).await?,
            }),
            Self::Job(target) => target.infer(tensors, limits).await,
        }
    }
}

/// Checks that a caller may know a model or job: those who score with it need its signature.
///
/// # Errors
/// 403.
pub fn check_visible(caller: &Caller, name: &str) -> Result<(), ApiError> {
    let check = |right| match job_name(name) {
        Some(job) => caller.check_job(right, job),
        None => caller.check_model(right, name),
    };
    check(Right::Score).or_else(|_| check(Right::Read))
}

/// Loads a version of a model, or finds that of a job, which is loaded.
///
/// # Errors
/// 403, 404, or 503 if it is not ready.
pub async fn check_ready(
    serving: &Serving,
    caller: &Caller,
    name: &str,
    version: Option<&str>,
) -> Result<(), ApiError> {
    check_visible(caller, name)?;
    match job_name(name) {
        Some(job) => JobTarget::find(serving, job, version).map(drop),
        None => {
            check_known(name)?;
            serving.model(name, version).await.map(drop)
        }
    }
}
