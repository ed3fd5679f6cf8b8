//! `jobs` (written by users) and `job_status` (the worker's answers to them).

pub mod job_targets;
pub mod tables;

use chrono::Utc;
use scylla::{
    DeserializeRow, SerializeRow,
    cluster::metadata::ColumnType,
    deserialize::{FrameSlice, value::DeserializeValue},
    errors::{DeserializationError, SerializationError, TypeCheckError},
    serialize::{
        value::SerializeValue,
        writers::{CellWriter, WrittenCellProof},
    },
    value::CqlTimestamp,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Store;
use crate::{
    domain::spelling::spelled,
    process,
    store::driver::{
        columns::{insert, update},
        conditional::or_read_back,
        error::StoreError,
        names::JOB,
    },
};

const COLUMNS: &str = "job, revision, manifest, paused, deleted, created_by, created_at, note";
const SWEEP: &str = "SELECT DISTINCT job FROM jobs";
const INSERT: &str = "INSERT INTO jobs (job, revision, manifest, created_by, created_at, note) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const PAUSE: &str =
    "UPDATE jobs SET paused = ?, paused_by = ?, paused_at = ?, paused_note = ? WHERE job = ?";
const DELETE: &str = "UPDATE jobs SET deleted = ? WHERE job = ?";
const STATUS_COLUMNS: &str = "job, revision, state, problems, warnings, ddl, ddl_applied, manifest_sha256, model, source, source_id, target, target_id, fingerprint, expect_digest, decided_by, decided_at";

/// A revision of a job, as the client wrote it; only its key is certain to be valid.
#[derive(Debug, Clone, PartialEq, DeserializeRow)]
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
    /// Returns the sha256 of the manifest's text; a row without one counts as empty.
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
    /// It has the problems that are stored with it.
    Invalid,
    /// A newer revision is ready.
    Superseded,
    /// It was ready; the source no longer fits.
    SourceChanged,
    /// It waits for an administrator to run the statements of `ddl`.
    NeedsTable,
    /// The manifest was altered after it was answered; `manifest_sha256` is that of the answered
    /// one.
    Tampered,
}

spelled! {
    JobState {
        Ready => "ready",
        Invalid => "invalid",
        Superseded => "superseded",
        SourceChanged => "source_changed",
        NeedsTable => "needs_table",
        Tampered => "tampered",
    }
}

impl SerializeValue for JobState {
    fn serialize<'b>(
        &self,
        column: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        self.as_str().serialize(column, writer)
    }
}

impl<'frame, 'metadata> DeserializeValue<'frame, 'metadata> for JobState {
    fn type_check(column: &ColumnType<'_>) -> Result<(), TypeCheckError> {
        <&str>::type_check(column)
    }

    fn deserialize(
        column: &'metadata ColumnType<'metadata>,
        cell: Option<FrameSlice<'frame>>,
    ) -> Result<Self, DeserializationError> {
        let text = <&str>::deserialize(column, cell)?;
        let unknown = || std::io::Error::other(format!("unknown state `{text}` of a job"));
        Self::parse(text).ok_or_else(|| DeserializationError::new(unknown()))
    }
}

/// A row of `job_status`.
#[derive(Debug, Clone, PartialEq, DeserializeRow, SerializeRow)]
pub struct JobStatus {
    pub job: String,
    pub revision: i32,
    pub state: JobState,
    /// Every problem, one line each.
    #[scylla(default_when_null)]
    pub problems: Vec<String>,
    /// Lasting warnings, one line each.
    #[scylla(default_when_null)]
    pub warnings: Vec<String>,
    /// Statements that were run for it, or, while `needs_table`, must be run.
    #[scylla(default_when_null)]
    pub ddl: Vec<String>,
    /// Whether the statements were run.
    #[scylla(default_when_null)]
    pub ddl_applied: bool,
    /// sha256 of the manifest's text.
    #[scylla(default_when_null)]
    pub manifest_sha256: Vec<u8>,
    /// The model, if the manifest could be parsed.
    pub model: Option<String>,
    /// `keyspace.table`.
    pub source: Option<String>,
    /// The source's table id when it was checked.
    pub source_id: Option<Uuid>,
    /// `keyspace.table`.
    pub target: Option<String>,
    pub target_id: Option<Uuid>,
    /// Changes if what would be written changes.
    pub fingerprint: Option<Vec<u8>>,
    /// Digest of the source rows whose predictions were not as expected: while it stays the same,
    /// they are not scored again.
    pub expect_digest: Option<Vec<u8>>,
    /// Which process decided, and when; set when the row is written.
    pub decided_by: Option<String>,
    pub decided_at: Option<CqlTimestamp>,
}

impl Store {
    /// Returns every job that has a row in `jobs`. Reads all partitions.
    pub async fn sweep_jobs(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self.rows(SWEEP, ()).await?;
        Ok(rows.into_iter().map(|(job,)| job).collect())
    }

    /// Returns every job that a worker has answered, with one small read.
    pub async fn job_names(&self) -> Result<Vec<String>, StoreError> {
        self.names(JOB).await
    }

    /// Returns a job's revisions, newest first. A job for which only `paused` or `deleted` was ever
    /// written has one row without a revision.
    pub async fn job_rows(&self, job: &str) -> Result<Vec<JobRow>, StoreError> {
        self.serial_rows(&format!("SELECT {COLUMNS} FROM jobs WHERE job = ?"), (job,))
            .await
    }

    /// Adds a revision; returns `false` if another process has just added that one.
    ///
    /// # Errors
    /// As [`Store::apply`]; an unknown outcome only after reading back the stored revision.
    pub async fn insert_job(
        &self,
        job: &str,
        revision: i32,
        manifest: &str,
        created_by: &str,
        note: Option<&str>,
    ) -> Result<bool, StoreError> {
        let at = CqlTimestamp::from(Utc::now());
        let values = (job, revision, manifest, created_by, at, note);
        self.apply_or_read_back(INSERT, values, async {
            let rows = self.job_rows(job).await?;
            let standing = rows.iter().find(|row| row.revision == Some(revision));
            Ok(standing.map(|row| {
                row.manifest.as_deref() == Some(manifest)
                    && row.created_by.as_deref() == Some(created_by)
                    && row.created_at == Some(at)
            }))
        })
        .await
    }

    /// Pauses or resumes a job, and says who did, and why; no run of a paused job starts
    /// automatically.
    pub async fn pause_job(
        &self,
        job: &str,
        paused: bool,
        by: &str,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        self.write(PAUSE, (paused, by, Utc::now(), note, job)).await
    }

    /// Marks a job as deleted, or restores it.
    pub async fn delete_job(&self, job: &str, deleted: bool) -> Result<(), StoreError> {
        self.write(DELETE, (deleted, job)).await
    }

    /// Returns the answers to a job's revisions, newest first.
    pub async fn job_statuses(&self, job: &str) -> Result<Vec<JobStatus>, StoreError> {
        let cql = format!("SELECT {STATUS_COLUMNS} FROM job_status WHERE job = ?");
        self.serial_rows(&cql, (job,)).await
    }

    /// Answers a revision if it has no answer (`was` is `None`), or if the answer is still in state
    /// `was`. Returns whether this write took place.
    pub async fn answer_job(
        &self,
        status: &JobStatus,
        was: Option<JobState>,
    ) -> Result<bool, StoreError> {
        let row = JobStatus {
            decided_by: Some(process::identity().to_owned()),
            decided_at: Some(Utc::now().into()),
            ..status.clone()
        };
        let outcome = match was {
            None => {
                let cql = insert("job_status", STATUS_COLUMNS) + " IF NOT EXISTS";
                self.apply(&cql, &row).await
            }
            Some(was) => {
                let condition = format!("state = '{}'", was.as_str());
                let key = ["job", "revision"];
                let cql = update("job_status", STATUS_COLUMNS, &key, &condition);
                self.apply(&cql, &row).await
            }
        };
        or_read_back(outcome, async {
            let standing = self.job_statuses(&status.job).await?;
            let ours = standing.iter().any(|standing| {
                standing.revision == row.revision
                    && standing.decided_by == row.decided_by
                    && standing.decided_at == row.decided_at
            });
            Ok(ours.then_some(true))
        })
        .await
    }
}
