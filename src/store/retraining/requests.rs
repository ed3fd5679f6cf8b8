//! `retraining_requests`: the worker's answers to `retrainings`.
//!
//! The static columns of a partition change under the condition on `seq`, together with the row of
//! a new request: two leaders never make two requests of one occasion.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::retraining::{
        due::RetrainingCursor,
        state::{RequestState, RetrainingRequest},
    },
    store::{
        Store,
        driver::{columns::Cell, conditional::known, error::StoreError},
    },
};

const COLUMNS: &str = "model, name, id, cause, spec, state, reason, version, alias_request, run_id, evaluation, asked_at";
const STATUS_COLUMNS: &str = "model, name, open, problems, cursor, next_due, seq";
const STATUS: &str = "UPDATE retraining_requests SET open = ?, problems = ?, cursor = ?, next_due = ?, seq = ? WHERE model = ? AND name = ? IF seq = ?";
const ASK: &str = "INSERT INTO retraining_requests (model, name, id, cause, spec, state, asked_at, changed_at) VALUES (?, ?, ?, ?, ?, 'training', ?, ?)";
const MOVE: &str = "UPDATE retraining_requests SET state = ?, reason = ?, version = ?, alias_request = ?, run_id = ?, evaluation = ?, changed_at = ? WHERE model = ? AND name = ? AND id = ? IF state = ?";
const CLOSE: &str =
    "UPDATE retraining_requests SET open = null WHERE model = ? AND name = ? IF open = ?";
const CLOSED: &str = "UPDATE retraining_requests SET state = ?, reason = ?, version = ?, alias_request = ?, run_id = ?, evaluation = ?, changed_at = ? WHERE model = ? AND name = ? AND id = ?";
/// Restricts a SELECT to requests: a partition may have nothing but its static columns.
const ROWS: &str = "id > minTimeuuid('1970-01-01 00:00:00+0000')";

/// The static columns of a retraining.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetrainingStatus {
    pub model: String,
    pub name: String,
    /// The request under way.
    pub open: Option<Uuid>,
    /// What is wrong with the people's row.
    pub problems: Vec<String>,
    /// `None` for a retraining that is new.
    pub cursor: Option<RetrainingCursor>,
    pub next_due: Option<DateTime<Utc>>,
    /// Raised by each change; `None` before the first.
    pub seq: Option<i32>,
}

#[derive(DeserializeRow)]
struct StatusColumns {
    model: String,
    name: String,
    open: Option<CqlTimeuuid>,
    problems: Option<Vec<String>>,
    cursor: Option<String>,
    next_due: Option<CqlTimestamp>,
    seq: Option<i32>,
}

impl From<StatusColumns> for RetrainingStatus {
    fn from(row: StatusColumns) -> Self {
        Self {
            model: row.model,
            name: row.name,
            open: row.open.cell(),
            problems: row.problems.unwrap_or_default(),
            cursor: row.cursor.and_then(|json| serde_json::from_str(&json).ok()),
            next_due: row.next_due.cell(),
            seq: row.seq,
        }
    }
}

#[derive(DeserializeRow)]
struct RequestColumns {
    model: String,
    name: String,
    id: CqlTimeuuid,
    cause: Option<String>,
    spec: Option<String>,
    state: Option<String>,
    reason: Option<String>,
    version: Option<i32>,
    alias_request: Option<CqlTimeuuid>,
    run_id: Option<CqlTimeuuid>,
    evaluation: Option<CqlTimeuuid>,
    asked_at: Option<CqlTimestamp>,
}

impl RequestColumns {
    fn request(self, cql: &str) -> Result<RetrainingRequest, StoreError> {
        let corrupt = |what: &str| StoreError::corrupt(format!("a request without {what}"), cql);
        let spec = self.spec.as_deref().map(serde_json::from_str);
        let state = self.state.as_deref().and_then(RequestState::parse);
        Ok(RetrainingRequest {
            model: self.model,
            name: self.name,
            id: self.id.into(),
            cause: self.cause.unwrap_or_default(),
            spec: spec
                .and_then(Result::ok)
                .ok_or_else(|| corrupt("a readable spec"))?,
            state: state.ok_or_else(|| corrupt("a known state"))?,
            reason: self.reason,
            version: self.version,
            alias_request: self.alias_request.cell(),
            run_id: self.run_id.cell(),
            evaluation: self.evaluation.cell(),
            asked_at: self.asked_at.cell(),
        })
    }
}

impl Store {
    /// Returns the status of every retraining. Reads all partitions.
    pub async fn retraining_statuses(&self) -> Result<Vec<RetrainingStatus>, StoreError> {
        let cql = format!("SELECT DISTINCT {STATUS_COLUMNS} FROM retraining_requests");
        let rows: Vec<StatusColumns> = self.rows(&cql, ()).await?;
        Ok(rows.into_iter().map(RetrainingStatus::from).collect())
    }

    /// Returns one status, after every decided conditional write; an empty one if there is none.
    pub async fn retraining_status(
        &self,
        model: &str,
        name: &str,
    ) -> Result<RetrainingStatus, StoreError> {
        let cql = format!(
            "SELECT {STATUS_COLUMNS} FROM retraining_requests WHERE model = ? AND name = ? LIMIT 1"
        );
        let row: Option<StatusColumns> = self.serial_row(&cql, (model, name)).await?;
        Ok(row.map_or_else(
            || RetrainingStatus {
                model: model.to_owned(),
                name: name.to_owned(),
                ..RetrainingStatus::default()
            },
            RetrainingStatus::from,
        ))
    }

    /// Writes a status whose `seq` is the one that was read, and the new request that it opens.
    /// Returns `false` if another process wrote meanwhile, or the outcome is unknown.
    pub async fn write_retraining_status(
        &self,
        status: &RetrainingStatus,
        request: Option<&RetrainingRequest>,
    ) -> Result<bool, StoreError> {
        let json = |value: &RetrainingCursor| serde_json::to_string(value).unwrap_or_default();
        let values = (
            status.open.map(CqlTimeuuid::from),
            &status.problems,
            status.cursor.as_ref().map(json),
            status.next_due,
            status.seq.unwrap_or_default() + 1,
            &status.model,
            &status.name,
            status.seq,
        );
        let outcome = match request {
            None => self.apply(STATUS, values).await,
            Some(request) => {
                let now = Utc::now();
                let asked = (
                    &request.model,
                    &request.name,
                    CqlTimeuuid::from(request.id),
                    &request.cause,
                    serde_json::to_string(&request.spec).unwrap_or_default(),
                    request.asked_at,
                    now,
                );
                self.apply_batch(&[STATUS, ASK], (values, asked)).await
            }
        };
        Ok(known(outcome)?.unwrap_or(false))
    }

    /// Returns a request, after every decided conditional write.
    pub async fn retraining_request(
        &self,
        model: &str,
        name: &str,
        id: Uuid,
    ) -> Result<Option<RetrainingRequest>, StoreError> {
        let cql = format!(
            "SELECT {COLUMNS} FROM retraining_requests WHERE model = ? AND name = ? AND id = ?"
        );
        let key = (model, name, CqlTimeuuid::from(id));
        let row: Option<RequestColumns> = self.serial_row(&cql, key).await?;
        row.map(|row| row.request(&cql)).transpose()
    }

    /// Returns a retraining's newest requests.
    pub async fn retraining_requests(
        &self,
        model: &str,
        name: &str,
        limit: i32,
    ) -> Result<Vec<RetrainingRequest>, StoreError> {
        let cql = format!(
            "SELECT {COLUMNS} FROM retraining_requests WHERE model = ? AND name = ? AND {ROWS} LIMIT ?"
        );
        let rows: Vec<RequestColumns> = self.rows(&cql, (model, name, limit)).await?;
        rows.into_iter().map(|row| row.request(&cql)).collect()
    }

    /// Moves a request on from the state `was`. A final state closes it. Returns `false` if another
    /// process did, or the outcome is unknown.
    pub async fn move_retraining_request(
        &self,
        request: &RetrainingRequest,
        was: RequestState,
    ) -> Result<bool, StoreError> {
        let id = CqlTimeuuid::from(request.id);
        let set = (
            request.state.as_str(),
            &request.reason,
            request.version,
            request.alias_request.map(CqlTimeuuid::from),
            request.run_id.map(CqlTimeuuid::from),
            request.evaluation.map(CqlTimeuuid::from),
            Utc::now(),
            &request.model,
            &request.name,
            id,
        );
        let outcome = match request.state.is_final() {
            true => {
                let closed = (&request.model, &request.name, id);
                self.apply_batch(&[CLOSE, CLOSED], (closed, set)).await
            }
            false => {
                let (state, reason, version, alias, run, evaluation, now, model, name, id) = set;
                let values = (
                    state,
                    reason,
                    version,
                    alias,
                    run,
                    evaluation,
                    now,
                    model,
                    name,
                    id,
                    was.as_str(),
                );
                self.apply(MOVE, values).await
            }
        };
        Ok(known(outcome)?.unwrap_or(false))
    }
}
