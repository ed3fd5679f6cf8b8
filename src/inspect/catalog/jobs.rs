//! Jobs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    codec::utc,
    domain::problem::Problem,
    engine::jobs,
    failure::Failure,
    store::{
        Store,
        jobs::{JobRow, JobStatus},
    },
};

/// A job, with the state of its newest revision.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct JobSummary {
    pub job: String,
    /// The newest revision.
    pub revision: i32,
    /// Null while the revision is unanswered.
    pub state: Option<&'static str>,
    pub model: Option<String>,
    /// `keyspace.table`.
    pub source: Option<String>,
    /// `keyspace.table`.
    pub target: Option<String>,
    /// Whether triggers start no runs.
    pub paused: bool,
    pub deleted: bool,
}

/// A revision of a job.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct JobDetail {
    pub job: String,
    pub revision: Option<i32>,
    /// All revisions, newest first.
    pub revisions: Vec<i32>,
    /// Null while the revision is unanswered.
    pub state: Option<&'static str>,
    pub problems: Option<Vec<String>>,
    pub warnings: Option<Vec<String>>,
    /// Statements that were run for it, or must be run by an administrator.
    pub ddl: Option<Vec<String>>,
    pub ddl_applied: Option<bool>,
    pub model: Option<String>,
    /// `keyspace.table`.
    pub source: Option<String>,
    /// `keyspace.table`.
    pub target: Option<String>,
    /// Changes if what would be written changes; hex.
    pub fingerprint: Option<String>,
    /// Whether triggers start no runs.
    pub paused: bool,
    pub deleted: bool,
    pub created_by: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: Option<String>,
    pub note: Option<String>,
    #[schema(format = DateTime)]
    pub decided_at: Option<String>,
    /// TOML.
    pub manifest: Option<String>,
    /// If the job keeps a table of current predictions that was filled: what it holds.
    pub current: Option<CurrentHeld>,
    /// Whether the job keeps a table of current predictions.
    #[serde(skip)]
    pub keeps_current: bool,
}

/// What a table of current predictions holds.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CurrentHeld {
    pub version: i32,
    #[schema(format = DateTime)]
    pub since: String,
    /// The run that copied it.
    pub run_id: String,
}

/// Returns the jobs by name. `deleted`: also deleted ones.
///
/// # Errors
/// Errors of Cassandra.
pub async fn jobs(store: &Store, deleted: bool) -> Result<Vec<JobSummary>, Failure> {
    let mut names = store.sweep_jobs().await?;
    names.sort();
    let mut jobs = Vec::new();
    for name in names {
        let rows = store.job_rows(&name).await?;
        let Some(revision) = rows.first().and_then(|row| row.revision) else {
            continue;
        };
        let is_deleted = is_set(&rows, |row| row.deleted);
        if is_deleted && !deleted {
            continue;
        }
        let statuses = store.job_statuses(&name).await?;
        let status = statuses
            .into_iter()
            .find(|status| status.revision == revision);
        let state = status.as_ref().map(|status| status.state.as_str());
        let (model, source, target) = status.map_or((None, None, None), |status| {
            (status.model, status.source, status.target)
        });
        jobs.push(JobSummary {
            job: name,
            revision,
            state,
            model,
            source,
            target,
            paused: is_set(&rows, |row| row.paused),
            deleted: is_deleted,
        });
    }
    Ok(jobs)
}

/// Returns a revision of a job; the newest if `revision` is `None`.
///
/// # Errors
/// Exit 5: no such job or revision; errors of Cassandra.
pub async fn job(store: &Store, name: &str, revision: Option<i32>) -> Result<JobDetail, Failure> {
    let mut rows = store.job_rows(name).await?;
    rows.retain(|row| row.revision.is_some());
    if rows.is_empty() {
        return Err(jobs::unknown(store, name).await?);
    }
    let revisions: Vec<i32> = rows.iter().filter_map(|row| row.revision).collect();
    let wanted = revision.or(revisions.first().copied());
    let Some(row) = rows.iter().find(|row| row.revision == wanted) else {
        return Err(no_revision(name, wanted, &revisions));
    };
    let statuses = store.job_statuses(name).await?;
    let status = statuses
        .into_iter()
        .find(|status| Some(status.revision) == wanted);
    let current = store.current_table(name).await?;
    let holds = current.as_ref().and_then(|table| table.holds.as_ref());
    let holds = holds.map(|holds| CurrentHeld {
        version: holds.version,
        since: utc::to_millisecond(holds.since),
        run_id: holds.run_id.to_string(),
    });
    let mut detail = JobDetail {
        job: name.to_owned(),
        revision: wanted,
        state: None,
        problems: None,
        warnings: None,
        ddl: None,
        ddl_applied: None,
        model: None,
        source: None,
        target: None,
        fingerprint: None,
        paused: is_set(&rows, |row| row.paused),
        deleted: is_set(&rows, |row| row.deleted),
        created_by: row.created_by.clone(),
        created_at: row.created_at.and_then(|at| time(at.0)),
        note: row.note.clone(),
        decided_at: None,
        manifest: row.manifest.clone(),
        current: holds,
        keeps_current: current.is_some(),
        revisions,
    };
    if let Some(status) = status {
        detail.answered(status);
    }
    Ok(detail)
}

impl JobDetail {
    fn answered(&mut self, status: JobStatus) {
        self.state = Some(status.state.as_str());
        self.problems = Some(status.problems);
        self.warnings = Some(status.warnings);
        self.ddl = Some(status.ddl);
        self.ddl_applied = Some(status.ddl_applied);
        self.model = status.model;
        self.source = status.source;
        self.target = status.target;
        self.fingerprint = status.fingerprint.map(hex::encode);
        self.decided_at = status.decided_at.and_then(|at| time(at.0));
    }
}

fn is_set(rows: &[JobRow], flag: fn(&JobRow) -> Option<bool>) -> bool {
    rows.iter().any(|row| flag(row) == Some(true))
}

fn no_revision(job: &str, wanted: Option<i32>, revisions: &[i32]) -> Failure {
    let known: Vec<String> = revisions.iter().map(ToString::to_string).collect();
    let message = format!("job `{job}` has no revision {}", wanted.unwrap_or(0));
    Failure::not_found(
        Problem::new("job.unknown", message).help(format!("choose one of {}", known.join(", "))),
    )
}

fn time(milliseconds: i64) -> Option<String> {
    let at: DateTime<Utc> = DateTime::from_timestamp_millis(milliseconds)?;
    Some(utc::to_millisecond(at))
}
