//! `run_requests`: people's wishes for runs, by UTC day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlDate, CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{Store, error::StoreError};

const COLUMNS: &str = "day, id, action, job, target_run, scope, keys, token_from, token_to, versions, priority, max_rows_per_s, deadline, dedupe_key, requested_by, note, options";
const INSERT: &str = "INSERT INTO run_requests (day, id, action, job, target_run, scope, keys, token_from, token_to, versions, priority, max_rows_per_s, deadline, dedupe_key, requested_by, note, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// A row of `run_requests`, as somebody wrote it: nothing about it is certain but its key.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct RunRequest {
    pub day: NaiveDate,
    pub id: Uuid,
    pub action: Option<String>,
    pub job: Option<String>,
    pub target_run: Option<Uuid>,
    pub scope: Option<String>,
    pub keys: Option<Vec<BTreeMap<String, String>>>,
    pub token_from: Option<i64>,
    pub token_to: Option<i64>,
    pub versions: Option<BTreeSet<i32>>,
    pub priority: Option<i32>,
    pub max_rows_per_s: Option<i32>,
    pub deadline: Option<DateTime<Utc>>,
    pub dedupe_key: Option<String>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
    pub options: Option<BTreeMap<String, String>>,
}

#[derive(DeserializeRow, scylla::SerializeRow)]
struct Row {
    day: CqlDate,
    id: CqlTimeuuid,
    action: Option<String>,
    job: Option<String>,
    target_run: Option<CqlTimeuuid>,
    scope: Option<String>,
    keys: Option<Vec<BTreeMap<String, String>>>,
    token_from: Option<i64>,
    token_to: Option<i64>,
    versions: Option<BTreeSet<i32>>,
    priority: Option<i32>,
    max_rows_per_s: Option<i32>,
    deadline: Option<CqlTimestamp>,
    dedupe_key: Option<String>,
    requested_by: Option<String>,
    note: Option<String>,
    options: Option<BTreeMap<String, String>>,
}

/// A `date`: days since 1970 plus 2^31.
pub(super) fn to_cql(day: NaiveDate) -> CqlDate {
    let days = (day - NaiveDate::default()).num_days();
    CqlDate((days + (1 << 31)) as u32)
}

fn from_cql(day: CqlDate) -> NaiveDate {
    let days = i64::from(day.0) - (1 << 31);
    NaiveDate::default() + chrono::TimeDelta::days(days)
}

impl From<Row> for RunRequest {
    fn from(row: Row) -> Self {
        Self {
            day: from_cql(row.day),
            id: row.id.into(),
            action: row.action,
            job: row.job,
            target_run: row.target_run.map(Uuid::from),
            scope: row.scope,
            keys: row.keys,
            token_from: row.token_from,
            token_to: row.token_to,
            versions: row.versions,
            priority: row.priority,
            max_rows_per_s: row.max_rows_per_s,
            deadline: row
                .deadline
                .and_then(|at| DateTime::from_timestamp_millis(at.0)),
            dedupe_key: row.dedupe_key,
            requested_by: row.requested_by,
            note: row.note,
            options: row.options,
        }
    }
}

impl Store {
    /// Asks, as anybody may with any CQL client.
    pub async fn insert_run_request(&self, request: &RunRequest) -> Result<(), StoreError> {
        let row = Row {
            day: to_cql(request.day),
            id: request.id.into(),
            action: request.action.clone(),
            job: request.job.clone(),
            target_run: request.target_run.map(CqlTimeuuid::from),
            scope: request.scope.clone(),
            keys: request.keys.clone(),
            token_from: request.token_from,
            token_to: request.token_to,
            versions: request.versions.clone(),
            priority: request.priority,
            max_rows_per_s: request.max_rows_per_s,
            deadline: request
                .deadline
                .map(|at| CqlTimestamp(at.timestamp_millis())),
            dedupe_key: request.dedupe_key.clone(),
            requested_by: request.requested_by.clone(),
            note: request.note.clone(),
            options: request.options.clone(),
        };
        self.write(INSERT, row).await
    }

    /// One request.
    pub async fn run_request(
        &self,
        day: NaiveDate,
        id: Uuid,
    ) -> Result<Option<RunRequest>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM run_requests WHERE day = ? AND id = ?");
        let row: Option<Row> = self.row(&cql, (to_cql(day), CqlTimeuuid::from(id))).await?;
        Ok(row.map(RunRequest::from))
    }

    /// All requests of a day.
    pub async fn run_requests(&self, day: NaiveDate) -> Result<Vec<RunRequest>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM run_requests WHERE day = ?");
        let rows: Vec<Row> = self.rows(&cql, (to_cql(day),)).await?;
        Ok(rows.into_iter().map(RunRequest::from).collect())
    }

    /// The requests of a day that have no answer, the oldest first.
    pub async fn open_run_requests(&self, day: NaiveDate) -> Result<Vec<RunRequest>, StoreError> {
        let mut requests = self.run_requests(day).await?;
        if !requests.is_empty() {
            let answered = self.answered(day).await?;
            requests.retain(|request| !answered.contains(&request.id));
        }
        Ok(requests)
    }
}
