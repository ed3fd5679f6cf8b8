//! `experiments` and `experiment_status`: what people want to try, and what is running.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, SerializeRow, value::CqlTimestamp};

use crate::{
    domain::{
        evidence::experiment::allocation::Allocation,
        experiment::{ExperimentRow, ExperimentState},
    },
    process,
    store::{
        Store,
        driver::{
            columns::{Cell, insert, stored},
            error::StoreError,
        },
    },
};

const STOP: &str =
    "UPDATE experiments SET stopped = true WHERE job = ? AND name = ? AND revision = ?";
const STATUS: &str =
    "name, revision, state, reason, model, arms, spec, row_hash, started_at, ended_at";
const ALLOCATION: &str =
    "SELECT DISTINCT job, allocation, allocation_seq FROM experiment_status WHERE job = ?";
const ALLOCATIONS: &str = "SELECT DISTINCT job, allocation, allocation_seq FROM experiment_status";
const ANSWER: &str = "UPDATE experiment_status SET state = ?, reason = ?, model = ?, arms = ?, spec = ?, row_hash = ?, started_at = ?, ended_at = ?, answered_by = ?, answered_at = ? WHERE job = ? AND name = ? AND revision = ? IF allocation_seq = ?";
const MOVE: &str = "UPDATE experiment_status SET allocation = ?, allocation_seq = ?, state = ?, reason = ?, model = ?, arms = ?, spec = ?, row_hash = ?, started_at = ?, ended_at = ?, answered_by = ?, answered_at = ? WHERE job = ? AND name = ? AND revision = ? IF allocation_seq = ?";

stored! {
    read struct Row of ExperimentRow {
        job: String,
        name: String,
        revision: i32,
        unit: Option<String>,
        salt: Option<String>,
        arms: Option<BTreeMap<String, String>>,
        shares: Option<BTreeMap<String, f64>>,
        traffic: Option<f64>,
        control: Option<String>,
        metric: Option<String>,
        better: Option<String>,
        labels: Option<String>,
        options: Option<BTreeMap<String, String>>,
        covariate: Option<String>,
        margin: Option<f64>,
        starts_at: Option<CqlTimestamp>,
        ends_at: Option<CqlTimestamp>,
        alpha: Option<f64>,
        expected_rows: Option<i64>,
        stopped: Option<bool>,
        created_by: Option<String>,
        note: Option<String>,
    }
}

// Without `stopped`, which people write later: a null from now could win against it.
stored! {
    write struct Written of ExperimentRow {
        job: String,
        name: String,
        revision: i32,
        unit: Option<String>,
        salt: Option<String>,
        arms: BTreeMap<String, String>,
        shares: BTreeMap<String, f64>,
        traffic: Option<f64>,
        control: Option<String>,
        metric: Option<String>,
        better: Option<String>,
        labels: Option<String>,
        options: BTreeMap<String, String>,
        covariate: Option<String>,
        margin: Option<f64>,
        starts_at: Option<DateTime<Utc>>,
        ends_at: Option<DateTime<Utc>>,
        alpha: Option<f64>,
        expected_rows: Option<i64>,
        created_by: Option<String>,
        note: Option<String>,
    }
}

#[derive(SerializeRow)]
struct NewExperiment {
    #[scylla(flatten)]
    row: Written,
    created_at: DateTime<Utc>,
}

/// The job's running experiment, and the number of the change that led to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobAllocation {
    /// 0: there never was one.
    pub seq: i32,
    pub allocation: Option<Allocation>,
}

/// A row of `experiment_status`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentStatus {
    pub job: String,
    pub name: String,
    pub revision: i32,
    pub state: ExperimentState,
    /// Why it waits or was refused, and what is ignored.
    pub reason: Option<String>,
    /// The job's model when it started.
    pub model: Option<String>,
    /// Arm → version, as frozen at the start.
    pub arms: BTreeMap<String, i32>,
    /// The row as it was at the start; later changes of it count for nothing.
    pub spec: Option<ExperimentRow>,
    /// Hash of the row of `experiments` that was answered.
    pub row_hash: Vec<u8>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(DeserializeRow)]
struct StatusColumns {
    name: Option<String>,
    revision: Option<i32>,
    state: Option<String>,
    reason: Option<String>,
    model: Option<String>,
    arms: Option<BTreeMap<String, i32>>,
    spec: Option<String>,
    row_hash: Option<Vec<u8>>,
    started_at: Option<CqlTimestamp>,
    ended_at: Option<CqlTimestamp>,
}

impl StatusColumns {
    fn status(self, job: &str) -> Option<ExperimentStatus> {
        Some(ExperimentStatus {
            job: job.to_owned(),
            name: self.name?,
            revision: self.revision?,
            state: ExperimentState::parse(&self.state?)?,
            reason: self.reason,
            model: self.model,
            arms: self.arms.unwrap_or_default(),
            spec: self.spec.and_then(|spec| serde_json::from_str(&spec).ok()),
            row_hash: self.row_hash.unwrap_or_default(),
            started_at: self.started_at.cell(),
            ended_at: self.ended_at.cell(),
        })
    }
}

type AllocationColumns = (String, Option<String>, Option<i32>);

fn allocation((job, text, seq): AllocationColumns) -> Result<(String, JobAllocation), StoreError> {
    let allocation = text.as_deref().map(serde_json::from_str).transpose();
    let allocation = allocation.map_err(|error| {
        let error = format!("the allocation of job `{job}` cannot be read: {error}");
        StoreError::corrupt(error, ALLOCATION)
    })?;
    let seq = seq.unwrap_or_default();
    Ok((job, JobAllocation { seq, allocation }))
}

fn spec(status: &ExperimentStatus) -> Result<Option<String>, StoreError> {
    let spec = status.spec.as_ref().map(serde_json::to_string).transpose();
    spec.map_err(|error| StoreError::corrupt(error.to_string(), ANSWER))
}

impl Store {
    /// Returns all experiments: of all jobs, each with all revisions. Reads all partitions.
    pub async fn experiments(&self) -> Result<Vec<ExperimentRow>, StoreError> {
        self.stored::<Row>("FROM experiments", ()).await
    }

    /// Returns a job's experiments, by name, the newest revision first.
    pub async fn experiments_of(&self, job: &str) -> Result<Vec<ExperimentRow>, StoreError> {
        self.stored::<Row>("FROM experiments WHERE job = ?", (job,))
            .await
    }

    /// Writes a new revision. Returns `false` if there is one with this number.
    pub async fn insert_experiment(&self, row: &ExperimentRow) -> Result<bool, StoreError> {
        let columns = format!("{}, created_at", Written::COLUMNS);
        let new = NewExperiment {
            row: row.into(),
            created_at: Utc::now(),
        };
        let cql = insert("experiments", &columns) + " IF NOT EXISTS";
        let read_back = async {
            let rows = self.experiments_of(&row.job).await?;
            let found = rows
                .into_iter()
                .find(|other| (&other.name, other.revision) == (&row.name, row.revision));
            Ok(found.map(|found| found == *row))
        };
        self.apply_or_read_back(&cql, new, read_back).await
    }

    /// Marks a revision, which must exist, as stopped.
    pub async fn stop_experiment(
        &self,
        job: &str,
        name: &str,
        revision: i32,
    ) -> Result<(), StoreError> {
        self.write(STOP, (job, name, revision)).await
    }

    /// Returns the answers to a job's experiments, by name, the newest revision first.
    pub async fn experiment_statuses(
        &self,
        job: &str,
    ) -> Result<Vec<ExperimentStatus>, StoreError> {
        let cql = format!("SELECT {STATUS} FROM experiment_status WHERE job = ?");
        let rows: Vec<StatusColumns> = self.serial_rows(&cql, (job,)).await?;
        Ok(rows.into_iter().filter_map(|row| row.status(job)).collect())
    }

    /// Returns what a job's experiments assign, after every decided change.
    pub async fn allocation_now(&self, job: &str) -> Result<JobAllocation, StoreError> {
        let row: Option<AllocationColumns> = self.serial_row(ALLOCATION, (job,)).await?;
        Ok(row.map(allocation).transpose()?.unwrap_or_default().1)
    }

    /// Returns what a job's running experiment assigns, or did a moment ago.
    pub async fn allocation_of(&self, job: &str) -> Result<Option<Allocation>, StoreError> {
        let row: Option<AllocationColumns> = self.row(ALLOCATION, (job,)).await?;
        Ok(row
            .map(allocation)
            .transpose()?
            .and_then(|(_, now)| now.allocation))
    }

    /// Returns what the experiments of all jobs assign. Reads all partitions.
    pub async fn allocations(&self) -> Result<BTreeMap<String, JobAllocation>, StoreError> {
        let rows: Vec<AllocationColumns> = self.rows(ALLOCATIONS, ()).await?;
        rows.into_iter().map(allocation).collect()
    }

    /// Writes the answer to a revision, unless another process changed what is assigned since
    /// `before`; a later round then answers.
    pub async fn answer_experiment(
        &self,
        before: &JobAllocation,
        status: &ExperimentStatus,
    ) -> Result<(), StoreError> {
        let values = (
            status.state.as_str(),
            &status.reason,
            &status.model,
            &status.arms,
            spec(status)?,
            &status.row_hash,
            status.started_at,
            status.ended_at,
            process::readable(process::identity()),
            Utc::now(),
            &status.job,
            &status.name,
            status.revision,
            (before.seq > 0).then_some(before.seq),
        );
        self.apply_ignoring_unknown(ANSWER, values).await
    }

    /// Changes what the job's experiments assign, together with the answer to the revision that it
    /// is about. Refused, without an error, if another process changed it since `before`.
    pub async fn move_allocation(
        &self,
        before: &JobAllocation,
        next: Option<&Allocation>,
        status: &ExperimentStatus,
    ) -> Result<(), StoreError> {
        let next = next.map(serde_json::to_string).transpose();
        let next = next.map_err(|error| StoreError::corrupt(error.to_string(), MOVE))?;
        let values = (
            next,
            before.seq + 1,
            status.state.as_str(),
            &status.reason,
            &status.model,
            &status.arms,
            spec(status)?,
            &status.row_hash,
            status.started_at,
            status.ended_at,
            process::readable(process::identity()),
            Utc::now(),
            &status.job,
            &status.name,
            status.revision,
            (before.seq > 0).then_some(before.seq),
        );
        self.apply_ignoring_unknown(MOVE, values).await
    }
}
