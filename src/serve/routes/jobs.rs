//! Jobs, for reading.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State};
use serde::Serialize;

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
};
use crate::{
    codec::cql_type::CqlType,
    inspect::catalog::{self, JobDetail, JobSummary},
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        residents::ServedJob,
    },
};

/// All jobs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobList {
    pub jobs: Vec<JobListItem>,
}

/// A job of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobListItem {
    #[serde(flatten)]
    pub job: JobSummary,
    /// Whether this server answers predictions of the job.
    pub served: bool,
}

/// A job: its newest revision, and what this server answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobView {
    #[serde(flatten)]
    pub job: JobDetail,
    /// Null if this server does not serve it.
    pub served: Option<ServedView>,
    /// Why it is not served.
    pub not_served: Option<String>,
}

/// A job as it is served.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServedView {
    /// The revision that is served: the newest that is ready.
    pub revision: i32,
    /// Primary key columns, partition key first.
    pub key: Vec<ColumnView>,
    /// Columns that the job reads: those of the rows of `POST …/score`.
    pub columns: Vec<ColumnView>,
    pub outputs: Vec<OutputView>,
    /// Versions that it scores.
    pub versions: Vec<i32>,
    /// The manifest's aliases, and where they point.
    pub aliases: BTreeMap<String, i32>,
}

/// A column of a table.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ColumnView {
    pub name: String,
    /// The CQL type.
    pub r#type: String,
}

/// An output column.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OutputView {
    pub name: String,
    /// The CQL type.
    pub r#type: String,
    /// The class of its value, or of each of a vector's values; empty if there are none.
    pub classes: Vec<String>,
}

impl From<&ServedJob> for ServedView {
    fn from(served: &ServedJob) -> Self {
        let job = &served.job;
        let column = |name: &str, cql_type: &CqlType| ColumnView {
            name: name.to_owned(),
            r#type: cql_type.to_string(),
        };
        let columns = |columns: &[crate::codec::schema::Column]| {
            let views = columns.iter();
            views
                .map(|it| column(&it.name, &it.cql_type))
                .collect::<Vec<_>>()
        };
        let outputs = job.target.outputs.iter().map(|output| OutputView {
            name: output.name.clone(),
            r#type: output.cql_type.to_string(),
            classes: output.classes.clone(),
        });
        Self {
            revision: served.revision,
            key: columns(&job.key),
            columns: columns(&job.columns),
            outputs: outputs.collect(),
            versions: served.versions.keys().copied().collect(),
            aliases: served.aliases.clone(),
        }
    }
}

/// Lists the jobs that the caller is permitted to read.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    tag = "jobs",
    responses((status = 200, description = "The jobs", body = JobList), ErrorResponses),
)]
pub async fn list(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<JobList>, ApiError> {
    caller.check(Right::Read)?;
    let mut jobs = catalog::jobs(&serving.store, false).await?;
    jobs.retain(|job| caller.check_job(Right::Read, &job.job).is_ok());
    let served = serving.residents.all();
    let item = |job: JobSummary| JobListItem {
        served: served.contains_key(&job.job),
        job,
    };
    Ok(Json(JobList {
        jobs: jobs.into_iter().map(item).collect(),
    }))
}

/// Returns a job.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}",
    tag = "jobs",
    params(("job" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<JobView>, ApiError> {
    caller.check_job(Right::Read, &job)?;
    let detail = catalog::job(&serving.store, &job, None).await?;
    let (served, not_served) = match serving.residents.job(&job) {
        Ok(served) => (Some(ServedView::from(&*served)), None),
        Err(error) => (None, Some(error.line())),
    };
    Ok(Json(JobView {
        job: detail,
        served,
        not_served,
    }))
}
