//! `workers`: the workers that are running. Each row has one writer and a TTL, so the row of a
//! silent worker disappears.

use chrono::{DateTime, Utc};
use scylla::{SerializeRow, value::CqlTimestamp};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{cells, insert, stored},
        error::StoreError,
    },
};

/// All workers share one partition.
const BUCKET: &str = "all";

/// A worker, as it last reported itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Random id of this start of the worker.
    pub worker: Uuid,
    /// [`crate::process::identity`].
    pub process: String,
    pub host: String,
    pub pid: u32,
    pub version: String,
    /// ONNX Runtime's version, if it could be loaded.
    pub runtime_version: Option<String>,
    /// working, draining or left.
    pub state: String,
    /// What it does, one line each.
    pub doing: Vec<String>,
    /// By the worker's own clock.
    pub started_at: DateTime<Utc>,
    /// Rises with each heartbeat.
    pub beat: i64,
    /// By the worker's own clock.
    pub beat_at: DateTime<Utc>,
}

stored! {
    read write struct Row of WorkerRow {
        worker: Uuid,
        process: Option<String>,
        host: Option<String>,
        pid: Option<i32>,
        version: Option<String>,
        runtime_version: Option<String>,
        state: Option<String>,
        doing: Option<Vec<String>>,
        started_at: Option<CqlTimestamp>,
        beat: Option<i64>,
        beat_at: Option<CqlTimestamp>,
    }
}

cells! {
    Option<i32> => u32: |pid| pid.unwrap_or_default() as u32;
    u32 => Option<i32>: |pid| Some(pid as i32);
}

#[derive(SerializeRow)]
struct Written {
    bucket: &'static str,
    #[scylla(flatten)]
    row: Row,
    ttl_seconds: i32,
}

impl Store {
    /// Writes a worker's row, with a TTL of `ttl_seconds`.
    pub async fn write_worker(&self, row: &WorkerRow, ttl_seconds: i32) -> Result<(), StoreError> {
        let cql =
            insert("workers", &format!("bucket, {}", Row::COLUMNS)) + " USING TTL :ttl_seconds";
        let written = Written {
            bucket: BUCKET,
            row: row.into(),
            ttl_seconds,
        };
        self.write(&cql, written).await
    }

    /// Returns all workers whose row has not expired.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        self.stored::<Row>("FROM workers WHERE bucket = ?", (BUCKET,))
            .await
    }
}
