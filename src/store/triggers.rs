//! `triggers`: when jobs run by themselves, as people write it.

use std::collections::BTreeSet;

use scylla::{DeserializeRow, SerializeRow};

use super::{Store, error::StoreError, migrate::now};
use crate::domain::trigger::TriggerRow;

const COLUMNS: &str = "job, name, cron, time_zone, every, pending_rows, oldest_wait, use_hints, after_job, on_promotion, overlap, missed, missed_limit, jitter, deadline, scope, versions, priority, max_rows_per_s, paused, removed, created_by, note";
const PUT: &str = "INSERT INTO triggers (job, name, cron, time_zone, every, pending_rows, oldest_wait, use_hints, after_job, on_promotion, overlap, missed, missed_limit, jitter, deadline, scope, versions, priority, max_rows_per_s, paused, removed, created_by, note, created_at) VALUES (:job, :name, :cron, :time_zone, :every, :pending_rows, :oldest_wait, :use_hints, :after_job, :on_promotion, :overlap, :missed, :missed_limit, :jitter, :deadline, :scope, :versions, :priority, :max_rows_per_s, :paused, :removed, :created_by, :note, :created_at)";
const PAUSE: &str = "UPDATE triggers SET paused = ? WHERE job = ? AND name = ?";
const REMOVE: &str = "UPDATE triggers SET removed = true WHERE job = ? AND name = ?";

#[derive(DeserializeRow)]
struct Row {
    job: String,
    name: String,
    cron: Option<String>,
    time_zone: Option<String>,
    every: Option<String>,
    pending_rows: Option<i64>,
    oldest_wait: Option<String>,
    use_hints: Option<bool>,
    after_job: Option<String>,
    on_promotion: Option<String>,
    overlap: Option<String>,
    missed: Option<String>,
    missed_limit: Option<i32>,
    jitter: Option<String>,
    deadline: Option<String>,
    scope: Option<String>,
    versions: Option<BTreeSet<i32>>,
    priority: Option<i32>,
    max_rows_per_s: Option<i32>,
    paused: Option<bool>,
    removed: Option<bool>,
    created_by: Option<String>,
    note: Option<String>,
}

#[derive(SerializeRow)]
struct Put<'r> {
    job: &'r str,
    name: &'r str,
    cron: Option<&'r str>,
    time_zone: Option<&'r str>,
    every: Option<&'r str>,
    pending_rows: Option<i64>,
    oldest_wait: Option<&'r str>,
    use_hints: Option<bool>,
    after_job: Option<&'r str>,
    on_promotion: Option<&'r str>,
    overlap: Option<&'r str>,
    missed: Option<&'r str>,
    missed_limit: Option<i32>,
    jitter: Option<&'r str>,
    deadline: Option<&'r str>,
    scope: Option<&'r str>,
    versions: Option<&'r BTreeSet<i32>>,
    priority: Option<i32>,
    max_rows_per_s: Option<i32>,
    paused: Option<bool>,
    removed: Option<bool>,
    created_by: Option<&'r str>,
    note: Option<&'r str>,
    created_at: scylla::value::CqlTimestamp,
}

impl From<Row> for TriggerRow {
    fn from(row: Row) -> Self {
        Self {
            job: row.job,
            name: row.name,
            cron: row.cron,
            time_zone: row.time_zone,
            every: row.every,
            pending_rows: row.pending_rows,
            oldest_wait: row.oldest_wait,
            use_hints: row.use_hints,
            after_job: row.after_job,
            on_promotion: row.on_promotion,
            overlap: row.overlap,
            missed: row.missed,
            missed_limit: row.missed_limit,
            jitter: row.jitter,
            deadline: row.deadline,
            scope: row.scope,
            versions: row.versions,
            priority: row.priority,
            max_rows_per_s: row.max_rows_per_s,
            paused: row.paused,
            removed: row.removed,
            created_by: row.created_by,
            note: row.note,
        }
    }
}

impl Store {
    /// All triggers. Walks all partitions.
    pub async fn triggers(&self) -> Result<Vec<TriggerRow>, StoreError> {
        let rows: Vec<Row> = self
            .rows(&format!("SELECT {COLUMNS} FROM triggers"), ())
            .await?;
        Ok(rows.into_iter().map(TriggerRow::from).collect())
    }

    /// One trigger.
    pub async fn trigger(&self, job: &str, name: &str) -> Result<Option<TriggerRow>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM triggers WHERE job = ? AND name = ?");
        let row: Option<Row> = self.row(&cql, (job, name)).await?;
        Ok(row.map(TriggerRow::from))
    }

    /// Writes a trigger, every column, whatever stood there.
    pub async fn put_trigger(&self, row: &TriggerRow) -> Result<(), StoreError> {
        let put = Put {
            job: &row.job,
            name: &row.name,
            cron: row.cron.as_deref(),
            time_zone: row.time_zone.as_deref(),
            every: row.every.as_deref(),
            pending_rows: row.pending_rows,
            oldest_wait: row.oldest_wait.as_deref(),
            use_hints: row.use_hints,
            after_job: row.after_job.as_deref(),
            on_promotion: row.on_promotion.as_deref(),
            overlap: row.overlap.as_deref(),
            missed: row.missed.as_deref(),
            missed_limit: row.missed_limit,
            jitter: row.jitter.as_deref(),
            deadline: row.deadline.as_deref(),
            scope: row.scope.as_deref(),
            versions: row.versions.as_ref(),
            priority: row.priority,
            max_rows_per_s: row.max_rows_per_s,
            paused: row.paused,
            removed: row.removed,
            created_by: row.created_by.as_deref(),
            note: row.note.as_deref(),
            created_at: now(),
        };
        self.write(PUT, put).await
    }

    /// Writes the wish that a trigger rests, or goes on.
    pub async fn pause_trigger(
        &self,
        job: &str,
        name: &str,
        paused: bool,
    ) -> Result<(), StoreError> {
        self.write(PAUSE, (paused, job, name)).await
    }

    /// Writes the wish that a trigger ends. Its row stays, for who asks what it was.
    pub async fn remove_trigger(&self, job: &str, name: &str) -> Result<(), StoreError> {
        self.write(REMOVE, (job, name)).await
    }
}
