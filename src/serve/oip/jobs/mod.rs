//! Jobs as models of the protocol: `job:NAME` takes the source columns of a job and gives its output
//! columns.
//!
//! [`cells`] turns the tensors of a request into source cells; these are scored by the function that
//! answers `POST /v1/jobs/{job}/score`, so that mapping, casts, preparation, rejections and hashes are
//! those of a run. [`mod@outputs`] turns the predictions into tensors.

pub mod cells;
pub mod outputs;
pub mod signature;

use std::sync::Arc;

use axum::http::StatusCode;

use self::signature::{input, output_columns, outputs};
use super::inputs::GivenTensor;
use crate::{
    codec::schema::Column,
    domain::model::Signature,
    serve::{
        arrow,
        error::ApiError,
        oip::target::Inference,
        residents::ServedJob,
        routes::{
            score::{VersionWord, Wanted, wanted},
            unit,
        },
        rows::{RowColumns, RowLimits},
        state::Serving,
    },
};

/// What the names of jobs begin with. No model is named so: their names have no colon.
pub const PREFIX: &str = "job:";
/// What jobs run on, in the place of Triton's `platform`.
pub const PLATFORM: &str = "helenus_job";

/// Returns the name of the job that a model's name stands for; `None` for a model.
pub fn job_name(model: &str) -> Option<&str> {
    model.strip_prefix(PREFIX)
}

/// Returns the name of a job in the protocol.
pub fn model_name(job: &str) -> String {
    format!("{PREFIX}{job}")
}

/// A job with the versions that answer a request.
pub struct JobTarget {
    pub job: Arc<ServedJob>,
    wanted: Wanted,
    /// The columns that are taken from a request, in the order of its cells.
    columns: Vec<Column>,
    /// Inputs and outputs as the protocol names them.
    pub signature: Signature,
}

impl JobTarget {
    /// Returns the job with a version, by number or alias. Without one: the champion, or while an
    /// experiment runs the versions of which its arms choose.
    ///
    /// # Errors
    /// 404: the job is not served, or does not score this version; 503: it is not served yet.
    pub fn find(serving: &Serving, job: &str, version: Option<&str>) -> Result<Self, ApiError> {
        let job = serving.residents.job(job)?;
        let words = version.map(|word| VersionWord::Name(word.to_owned()));
        let wanted = wanted(&job, words.as_slice()).map_err(|mut error| {
            // The protocol names the version in the path.
            if error.status == StatusCode::BAD_REQUEST {
                error.status = StatusCode::NOT_FOUND;
            }
            error
        })?;
        let columns = unit::columns(&job.job);
        let signature = Signature {
            inputs: columns.iter().map(input).collect(),
            outputs: outputs(&job.job, &wanted.versions),
            fixed_batch: None,
        };
        Ok(Self {
            job,
            wanted,
            columns,
            signature,
        })
    }

    /// Scores the rows of a request, all of them.
    ///
    /// # Errors
    /// 400: wrong tensors, or rows that the job rejects; 413, 429, 503.
    pub async fn infer(
        &self,
        tensors: &[GivenTensor<'_>],
        limits: RowLimits,
    ) -> Result<Inference, ApiError> {
        let columns = RowColumns::with_columns(&self.job.job, &self.columns);
        let rows = cells::cells(columns, tensors, limits)?;
        let arms = unit::arms(&self.job.job, &rows);
        let predictions = arrow::predictions(&self.job, &self.wanted, rows, &arms).await?;
        outputs::check_rejected(&predictions)?;
        // The job's columns come last.
        let all = self.job.job.target.outputs.len();
        let before = predictions.num_columns().saturating_sub(all);
        let columns = output_columns(&self.job.job, &self.wanted.versions).into_iter();
        let columns: Vec<_> = columns.map(|column| before + column).collect();
        let outputs = outputs::batch(&predictions, &self.signature.outputs, &columns);
        Ok(Inference {
            version: outputs::only_version(&predictions),
            outputs: outputs.map_err(arrow::malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::check_name;

    #[test]
    fn a_job_is_never_taken_for_a_model() {
        assert_eq!(job_name("job:kinds"), Some("kinds"));
        assert_eq!(job_name(&model_name("kinds")), Some("kinds"));
        assert_eq!(job_name("kinds"), None);
        assert!(check_name("a model", &model_name("kinds")).is_err());
    }
}
