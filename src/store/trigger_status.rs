//! `trigger_status`: what schedulers made of `triggers`. Each write is conditional on the `seq` that
//! its writer has read, so of two schedulers that decide about one tick only one is heard.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    statement::Applied,
};
use crate::{
    domain::trigger::{Key, TriggerState, TriggerStatus},
    process,
};

const COLUMNS: &str = "job, name, seq, state, problems, fires, next_due, last_due, last_run, last_outcome, last_reason, last_at, queued_due, queued_keys, estimate, cursor, row_hash, decided_by, decided_at";
const ONE: &str = "WHERE job = ? AND name = ?";

#[derive(DeserializeRow, SerializeRow)]
struct Row {
    job: String,
    name: String,
    seq: Option<i32>,
    state: Option<String>,
    problems: Option<Vec<String>>,
    fires: Option<String>,
    next_due: Option<CqlTimestamp>,
    last_due: Option<CqlTimestamp>,
    last_run: Option<CqlTimeuuid>,
    last_outcome: Option<String>,
    last_reason: Option<String>,
    last_at: Option<CqlTimestamp>,
    queued_due: Option<CqlTimestamp>,
    queued_keys: Option<Vec<Key>>,
    estimate: Option<String>,
    cursor: Option<String>,
    row_hash: Option<Vec<u8>>,
    decided_by: Option<String>,
    decided_at: Option<CqlTimestamp>,
}

/// A row, and the `seq` that it takes the place of.
#[derive(SerializeRow)]
struct Update {
    #[scylla(flatten)]
    row: Row,
    was: i32,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// It stands, as this.
    Yes(Box<TriggerStatus>),
    /// Somebody else wrote in between: what stands now.
    No(Option<Box<TriggerStatus>>),
}

fn to_cql(at: Option<DateTime<Utc>>) -> Option<CqlTimestamp> {
    at.map(|at| CqlTimestamp(at.timestamp_millis()))
}

fn from_cql(at: Option<CqlTimestamp>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at?.0)
}

impl Row {
    fn new(status: &TriggerStatus) -> Result<Self, StoreError> {
        let estimate = status
            .estimate
            .as_ref()
            .map(serde_json::to_string)
            .transpose();
        let status = status.clone();
        Ok(Self {
            job: status.job,
            name: status.name,
            seq: Some(status.seq),
            state: Some(status.state.as_str().to_owned()),
            problems: Some(status.problems),
            fires: status.fires,
            next_due: to_cql(status.next_due),
            last_due: to_cql(status.last_due),
            last_run: status.last_run.map(CqlTimeuuid::from),
            last_outcome: status.last_outcome,
            last_reason: status.last_reason,
            last_at: to_cql(status.last_at),
            queued_due: to_cql(status.queued_due),
            queued_keys: status.queued_keys,
            estimate: estimate.map_err(|error| StoreError::corrupt(error.to_string(), COLUMNS))?,
            cursor: status.cursor,
            row_hash: Some(status.row_hash),
            decided_by: status.decided_by,
            decided_at: to_cql(status.decided_at),
        })
    }

    fn status(self) -> TriggerStatus {
        TriggerStatus {
            job: self.job,
            name: self.name,
            seq: self.seq.unwrap_or_default(),
            state: self
                .state
                .as_deref()
                .and_then(TriggerState::parse)
                .unwrap_or_default(),
            problems: self.problems.unwrap_or_default(),
            fires: self.fires,
            next_due: from_cql(self.next_due),
            last_due: from_cql(self.last_due),
            last_run: self.last_run.map(Uuid::from),
            last_outcome: self.last_outcome,
            last_reason: self.last_reason,
            last_at: from_cql(self.last_at),
            queued_due: from_cql(self.queued_due),
            queued_keys: self.queued_keys,
            // Of another version of helenus: it estimates anew.
            estimate: self
                .estimate
                .and_then(|json| serde_json::from_str(&json).ok()),
            cursor: self.cursor,
            row_hash: self.row_hash.unwrap_or_default(),
            decided_by: self.decided_by,
            decided_at: from_cql(self.decided_at),
        }
    }
}

impl Store {
    /// All of them. Walks all partitions.
    pub async fn trigger_statuses(&self) -> Result<Vec<TriggerStatus>, StoreError> {
        let rows: Vec<Row> = self
            .rows(&format!("SELECT {COLUMNS} FROM trigger_status"), ())
            .await?;
        Ok(rows.into_iter().map(Row::status).collect())
    }

    /// One, after every decided conditional write.
    pub async fn trigger_status(
        &self,
        job: &str,
        name: &str,
    ) -> Result<Option<TriggerStatus>, StoreError> {
        let row: Option<Row> = self
            .serial_row(
                &format!("SELECT {COLUMNS} FROM trigger_status {ONE}"),
                (job, name),
            )
            .await?;
        Ok(row.map(Row::status))
    }

    /// Writes `status`, whose `seq` is the one that was read (0: there was no row); it is raised, and
    /// who decides and when are filled in.
    ///
    /// # Errors
    /// As [`Store::apply`]; an unknown outcome is read back, and an error only where nothing was
    /// written or the row could not be read.
    pub async fn write_trigger_status(
        &self,
        status: &TriggerStatus,
        at: DateTime<Utc>,
    ) -> Result<Written, StoreError> {
        let was = status.seq;
        // Which of two writers of one process it was shows, too.
        let by = format!(
            "{} {}",
            process::spoken(process::identity()),
            Uuid::new_v4().as_simple()
        );
        let status = TriggerStatus {
            seq: was + 1,
            decided_by: Some(by),
            decided_at: DateTime::from_timestamp_millis(at.timestamp_millis()),
            ..status.clone()
        };
        let row = Row::new(&status)?;
        let outcome = if was == 0 {
            let markers: Vec<String> = COLUMNS
                .split(", ")
                .map(|column| format!(":{column}"))
                .collect();
            let cql = format!(
                "INSERT INTO trigger_status ({COLUMNS}) VALUES ({}) IF NOT EXISTS",
                markers.join(", ")
            );
            self.apply(&cql, row).await
        } else {
            let set: Vec<String> = COLUMNS
                .split(", ")
                .skip(2)
                .map(|column| format!("{column} = :{column}"))
                .collect();
            let cql = format!(
                "UPDATE trigger_status SET {} WHERE job = :job AND name = :name IF seq = :was",
                set.join(", ")
            );
            self.apply(&cql, Update { row, was }).await
        };
        let unknown = match outcome {
            Ok(Applied::Yes) => return Ok(Written::Yes(Box::new(status))),
            Ok(Applied::No(_)) => None,
            Err(error) if error.kind == StoreErrorKind::Unknown => Some(error),
            Err(error) => return Err(error),
        };
        let standing = self.trigger_status(&status.job, &status.name).await?;
        match (standing, unknown) {
            (Some(standing), _)
                if standing.seq == status.seq && standing.decided_by == status.decided_by =>
            {
                Ok(Written::Yes(Box::new(standing)))
            }
            (standing, Some(error))
                if standing.as_ref().map_or(0, |standing| standing.seq) == was =>
            {
                Err(error)
            }
            (standing, _) => Ok(Written::No(standing.map(Box::new))),
        }
    }
}
