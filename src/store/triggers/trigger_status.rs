//! `trigger_status`: the schedulers' answers to `triggers`. Each write is conditional on the `seq`
//! that its writer has read, so of two schedulers that decide about one tick only one succeeds.

use chrono::{DateTime, Utc};
use scylla::{
    SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::trigger::{Key, TriggerState, TriggerStatus, estimate::Estimate},
    process,
    store::{
        Store,
        driver::{
            columns::{cells, insert, stored, update},
            conditional::known,
            error::StoreError,
        },
    },
};

stored! {
    read write struct Row of TriggerStatus {
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
}

cells! {
    Option<String> => TriggerState: |state| {
        state.as_deref().and_then(TriggerState::parse).unwrap_or_default()
    };
    TriggerState => Option<String>: |state| Some(state.as_str().to_owned());
    // An estimate written by another version of helenus is made again.
    Option<String> => Option<Estimate>: |json| serde_json::from_str(&json?).ok();
    // Plain numbers and texts always serialise.
    Option<Estimate> => Option<String>: |estimate| serde_json::to_string(&estimate?).ok();
}

/// A row, and the `seq` that it replaces.
#[derive(SerializeRow)]
struct Update {
    #[scylla(flatten)]
    row: Row,
    was: i32,
}

/// Outcome of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// The write succeeded, and this row is stored.
    Yes(Box<TriggerStatus>),
    /// Another process wrote in between; contains the stored row.
    No(Option<Box<TriggerStatus>>),
}

impl Store {
    /// Returns all rows. Reads all partitions.
    pub async fn trigger_statuses(&self) -> Result<Vec<TriggerStatus>, StoreError> {
        self.stored::<Row>("FROM trigger_status", ()).await
    }

    /// Returns one row, after every decided conditional write.
    pub async fn trigger_status(
        &self,
        job: &str,
        name: &str,
    ) -> Result<Option<TriggerStatus>, StoreError> {
        self.one_stored_serially::<Row>(
            "FROM trigger_status WHERE job = ? AND name = ?",
            (job, name),
        )
        .await
    }

    /// Writes `status`, whose `seq` is the one that was read (0: there was no row). `seq` is
    /// raised, and `decided_by` and `decided_at` are set.
    ///
    /// # Errors
    /// As [`Store::apply`]. An unknown outcome is read back, and is an error only if nothing was
    /// written or the row could not be read.
    pub async fn write_trigger_status(
        &self,
        status: &TriggerStatus,
        at: DateTime<Utc>,
    ) -> Result<Written, StoreError> {
        let was = status.seq;
        // Also distinguishes two writers of the same process.
        let by = format!(
            "{} {}",
            process::readable(process::identity()),
            Uuid::new_v4().as_simple()
        );
        let status = TriggerStatus {
            seq: was + 1,
            decided_by: Some(by),
            decided_at: DateTime::from_timestamp_millis(at.timestamp_millis()),
            ..status.clone()
        };
        let row = Row::from(&status);
        let outcome = if was == 0 {
            let cql = insert("trigger_status", Row::COLUMNS) + " IF NOT EXISTS";
            self.apply(&cql, row).await
        } else {
            let key = ["job", "name"];
            let cql = update("trigger_status", Row::COLUMNS, &key, "seq = :was");
            self.apply(&cql, Update { row, was }).await
        };
        // A refusal is read back as well: the caller needs the stored row.
        let applied = known(outcome)?;
        if matches!(applied, Ok(true)) {
            return Ok(Written::Yes(Box::new(status)));
        }
        let standing = self.trigger_status(&status.job, &status.name).await?;
        match (standing, applied) {
            (Some(standing), _)
                if standing.seq == status.seq && standing.decided_by == status.decided_by =>
            {
                Ok(Written::Yes(Box::new(standing)))
            }
            (standing, Err(unknown))
                if standing.as_ref().map_or(0, |standing| standing.seq) == was =>
            {
                Err(unknown)
            }
            (standing, _) => Ok(Written::No(standing.map(Box::new))),
        }
    }
}
