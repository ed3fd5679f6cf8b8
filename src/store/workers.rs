//! `workers`: who is there. Each row has one writer and a TTL, so that who is silent is gone.

use chrono::{DateTime, Utc};
use scylla::{DeserializeRow, SerializeRow, value::CqlTimestamp};
use uuid::Uuid;

use super::{Store, error::StoreError};

const WRITE: &str = "INSERT INTO workers (bucket, worker, process, host, pid, version, runtime_version, state, doing, started_at, beat, beat_at) VALUES ('all', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?";
const READ: &str = "SELECT worker, process, host, pid, version, runtime_version, state, doing, started_at, beat, beat_at FROM workers WHERE bucket = 'all'";

/// A worker, as it said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Random, of this start of it.
    pub worker: Uuid,
    /// [`crate::process::identity`].
    pub process: String,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// helenus's version.
    pub version: String,
    /// ONNX Runtime's, if it could be loaded.
    pub runtime_version: Option<String>,
    /// working, draining or left.
    pub state: String,
    /// What it does, a line each.
    pub doing: Vec<String>,
    /// By its own clock.
    pub started_at: DateTime<Utc>,
    /// Rises with each sign of life.
    pub beat: i64,
    /// By its own clock.
    pub beat_at: DateTime<Utc>,
}

#[derive(DeserializeRow)]
struct Row {
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

#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct Written<'a> {
    worker: Uuid,
    process: &'a str,
    host: &'a str,
    pid: i32,
    version: &'a str,
    runtime_version: Option<&'a str>,
    state: &'a str,
    doing: &'a [String],
    started_at: CqlTimestamp,
    beat: i64,
    beat_at: CqlTimestamp,
    ttl: i32,
}

fn time(at: Option<CqlTimestamp>) -> DateTime<Utc> {
    at.and_then(|at| DateTime::from_timestamp_millis(at.0))
        .unwrap_or_default()
}

impl Store {
    /// Says that a worker is there, for `ttl_seconds`.
    pub async fn write_worker(&self, row: &WorkerRow, ttl_seconds: i32) -> Result<(), StoreError> {
        let written = Written {
            worker: row.worker,
            process: &row.process,
            host: &row.host,
            pid: row.pid as i32,
            version: &row.version,
            runtime_version: row.runtime_version.as_deref(),
            state: &row.state,
            doing: &row.doing,
            started_at: CqlTimestamp(row.started_at.timestamp_millis()),
            beat: row.beat,
            beat_at: CqlTimestamp(row.beat_at.timestamp_millis()),
            ttl: ttl_seconds,
        };
        self.write(WRITE, written).await
    }

    /// All workers that said so lately.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let rows: Vec<Row> = self.rows(READ, ()).await?;
        let row = |row: Row| WorkerRow {
            worker: row.worker,
            process: row.process.unwrap_or_default(),
            host: row.host.unwrap_or_default(),
            pid: row.pid.unwrap_or_default() as u32,
            version: row.version.unwrap_or_default(),
            runtime_version: row.runtime_version,
            state: row.state.unwrap_or_default(),
            doing: row.doing.unwrap_or_default(),
            started_at: time(row.started_at),
            beat: row.beat.unwrap_or_default(),
            beat_at: time(row.beat_at),
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
