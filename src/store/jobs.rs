//! `jobs` (people's) and `job_status` (the worker's answers to them).

use scylla::{DeserializeRow, SerializeRow, value::CqlTimestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    migrate::now,
    names::JOB,
    statement::Applied,
};
use crate::process;

const COLUMNS: &str = "job, revision, manifest, paused, deleted, created_by, created_at, note";
const SWEEP: &str = "SELECT DISTINCT job FROM jobs";
const INSERT: &str = "INSERT INTO jobs (job, revision, manifest, created_by, created_at, note) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const PAUSE: &str = "UPDATE jobs SET paused = ? WHERE job = ?";
const DELETE: &str = "UPDATE jobs SET deleted = ? WHERE job = ?";
const STATUS_COLUMNS: &str = "job, revision, state, problems, warnings, ddl, ddl_applied, manifest_sha256, model, source, source_id, target, target_id, fingerprint, decided_by, decided_at";

/// A revision of a job, as somebody wrote it: nothing about it is certain but its key.
#[derive(Debug, Clone, PartialEq, DeserializeRow)]
#[allow(missing_docs)]
pub struct JobRow {
    pub job: String,
    pub revision: Option<i32>,
    pub manifest: Option<String>,
    pub paused: Option<bool>,
    pub deleted: Option<bool>,
    pub created_by: Option<String>,
    pub created_at: Option<CqlTimestamp>,
    pub note: Option<String>,
}

impl JobRow {
    /// sha256 of the manifest's text; a row without one counts as empty.
    pub fn manifest_sha256(&self) -> Vec<u8> {
        let text = self.manifest.as_deref().unwrap_or_default();
        Sha256::digest(text.as_bytes()).to_vec()
    }
}

/// `job_status.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Runs may use it.
    Ready,
    /// Its problems stand beside it.
    Invalid,
    /// A newer revision is ready.
    Superseded,
    /// Was ready; the source no longer fits.
    SourceChanged,
    /// Waits for an administrator to run the statements of `ddl`.
    NeedsTable,
    /// The manifest was altered after it was answered; `manifest_sha256` is of the one that was.
    Tampered,
}

impl JobState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Invalid => "invalid",
            Self::Superseded => "superseded",
            Self::SourceChanged => "source_changed",
            Self::NeedsTable => "needs_table",
            Self::Tampered => "tampered",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Ready,
            Self::Invalid,
            Self::Superseded,
            Self::SourceChanged,
            Self::NeedsTable,
            Self::Tampered,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A row of `job_status`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// The job.
    pub job: String,
    /// Its revision.
    pub revision: i32,
    /// What was decided.
    pub state: JobState,
    /// Every problem, a line each.
    pub problems: Vec<String>,
    /// Lasting warnings, a line each.
    pub warnings: Vec<String>,
    /// Statements run for it, or, while `needs_table`, to be run.
    pub ddl: Vec<String>,
    /// Whether they were run.
    pub ddl_applied: bool,
    /// sha256 of the manifest's text.
    pub manifest_sha256: Vec<u8>,
    /// As far as the manifest could be read.
    pub model: Option<String>,
    /// `keyspace.table`.
    pub source: Option<String>,
    /// The source's id when it was looked at.
    pub source_id: Option<Uuid>,
    /// `keyspace.table`.
    pub target: Option<String>,
    /// The prediction table's id.
    pub target_id: Option<Uuid>,
    /// Changes with what would be written.
    pub fingerprint: Option<Vec<u8>>,
    /// Which process decided, and when: filled in when written.
    pub decided_by: Option<String>,
    /// Milliseconds since 1970.
    pub decided_at: Option<i64>,
}

#[derive(DeserializeRow, SerializeRow)]
struct StatusRow {
    job: String,
    revision: i32,
    state: Option<String>,
    problems: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
    ddl: Option<Vec<String>>,
    ddl_applied: Option<bool>,
    manifest_sha256: Option<Vec<u8>>,
    model: Option<String>,
    source: Option<String>,
    source_id: Option<Uuid>,
    target: Option<String>,
    target_id: Option<Uuid>,
    fingerprint: Option<Vec<u8>>,
    decided_by: Option<String>,
    decided_at: Option<CqlTimestamp>,
}

impl Store {
    /// Every job that has a row in `jobs`, whoever wrote it. Walks all partitions.
    pub async fn sweep_jobs(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self.rows(SWEEP, ()).await?;
        Ok(rows.into_iter().map(|(job,)| job).collect())
    }

    /// Every job that a worker has answered: one small read.
    pub async fn job_names(&self) -> Result<Vec<String>, StoreError> {
        self.names(JOB).await
    }

    /// A job's revisions, newest first. A job of which only `paused` or `deleted` was ever written
    /// has one row without a revision.
    pub async fn job_rows(&self, job: &str) -> Result<Vec<JobRow>, StoreError> {
        self.serial_rows(&format!("SELECT {COLUMNS} FROM jobs WHERE job = ?"), (job,))
            .await
    }

    /// Adds a revision; `false` when somebody has just added that one.
    ///
    /// # Errors
    /// As [`Store::apply`]; of an unknown outcome only after reading back what stands.
    pub async fn insert_job(
        &self,
        job: &str,
        revision: i32,
        manifest: &str,
        created_by: &str,
        note: Option<&str>,
    ) -> Result<bool, StoreError> {
        let at = now();
        let values = (job, revision, manifest, created_by, at, note);
        match self.apply(INSERT, values).await {
            Ok(applied) => Ok(applied.yes()),
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                let rows = self.job_rows(job).await?;
                let standing = rows.iter().find(|row| row.revision == Some(revision));
                match standing {
                    Some(row) => Ok(row.manifest.as_deref() == Some(manifest)
                        && row.created_by.as_deref() == Some(created_by)
                        && row.created_at == Some(at)),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the wish that no run of the job starts by itself.
    pub async fn pause_job(&self, job: &str, paused: bool) -> Result<(), StoreError> {
        self.write(PAUSE, (paused, job)).await
    }

    /// Writes the wish that the job ends, or comes back.
    pub async fn delete_job(&self, job: &str, deleted: bool) -> Result<(), StoreError> {
        self.write(DELETE, (deleted, job)).await
    }

    /// The answers to a job's revisions, newest first.
    pub async fn job_statuses(&self, job: &str) -> Result<Vec<JobStatus>, StoreError> {
        let cql = format!("SELECT {STATUS_COLUMNS} FROM job_status WHERE job = ?");
        let rows: Vec<StatusRow> = self.serial_rows(&cql, (job,)).await?;
        rows.into_iter().map(|row| row.status(&cql)).collect()
    }

    /// Answers a revision: if nobody has (`was` is `None`), or if the answer is still in state
    /// `was`. Gives whether this write did it.
    pub async fn answer_job(
        &self,
        status: &JobStatus,
        was: Option<JobState>,
    ) -> Result<bool, StoreError> {
        let markers = vec!["?"; STATUS_COLUMNS.split(", ").count()].join(", ");
        let row = StatusRow::new(status);
        let by = row.decided_by.clone();
        let at = row.decided_at;
        let outcome = match was {
            None => {
                let cql = format!(
                    "INSERT INTO job_status ({STATUS_COLUMNS}) VALUES ({markers}) IF NOT EXISTS"
                );
                self.apply(&cql, row).await
            }
            Some(was) => {
                let set: Vec<String> = STATUS_COLUMNS
                    .split(", ")
                    .filter(|column| !["job", "revision"].contains(column))
                    .map(|column| format!("{column} = :{column}"))
                    .collect();
                let cql = format!(
                    "UPDATE job_status SET {} WHERE job = :job AND revision = :revision IF state = '{}'",
                    set.join(", "),
                    was.as_str()
                );
                self.apply(&cql, row).await
            }
        };
        match outcome {
            Ok(applied) => Ok(applied == Applied::Yes),
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                let standing = self.job_statuses(&status.job).await?;
                let ours = standing
                    .iter()
                    .find(|row| row.revision == status.revision)
                    .is_some_and(|row| row.decided_by == by && row.decided_at == at.map(|at| at.0));
                match ours {
                    true => Ok(true),
                    false => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl StatusRow {
    fn new(status: &JobStatus) -> Self {
        let status = status.clone();
        Self {
            job: status.job,
            revision: status.revision,
            state: Some(status.state.as_str().to_owned()),
            problems: Some(status.problems),
            warnings: Some(status.warnings),
            ddl: Some(status.ddl),
            ddl_applied: Some(status.ddl_applied),
            manifest_sha256: Some(status.manifest_sha256),
            model: status.model,
            source: status.source,
            source_id: status.source_id,
            target: status.target,
            target_id: status.target_id,
            fingerprint: status.fingerprint,
            decided_by: Some(process::identity().to_owned()),
            decided_at: Some(now()),
        }
    }

    fn status(self, cql: &str) -> Result<JobStatus, StoreError> {
        let state = self.state.as_deref().and_then(JobState::parse);
        let state = state.ok_or_else(|| {
            let found = self.state.as_deref().unwrap_or("null");
            StoreError::corrupt(format!("state `{found}` of job `{}`", self.job), cql)
        })?;
        Ok(JobStatus {
            job: self.job,
            revision: self.revision,
            state,
            problems: self.problems.unwrap_or_default(),
            warnings: self.warnings.unwrap_or_default(),
            ddl: self.ddl.unwrap_or_default(),
            ddl_applied: self.ddl_applied.unwrap_or(false),
            manifest_sha256: self.manifest_sha256.unwrap_or_default(),
            model: self.model,
            source: self.source,
            source_id: self.source_id,
            target: self.target,
            target_id: self.target_id,
            fingerprint: self.fingerprint,
            decided_by: self.decided_by,
            decided_at: self.decided_at.map(|at| at.0),
        })
    }
}
