//! `triggers`: when jobs start automatically, as written by users.

pub mod changed_keys;
pub mod trigger_status;
pub mod upstream;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use scylla::SerializeRow;

use super::Store;
use crate::{
    domain::trigger::TriggerRow,
    store::driver::{
        columns::{insert, stored},
        error::StoreError,
    },
};

const PAUSE: &str = "UPDATE triggers SET paused = ? WHERE job = ? AND name = ?";
const REMOVE: &str = "UPDATE triggers SET removed = true WHERE job = ? AND name = ?";

stored! {
    read write struct Row of TriggerRow {
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
        on_alarm: Option<String>,
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
}

#[derive(SerializeRow)]
struct Put {
    #[scylla(flatten)]
    row: Row,
    created_at: DateTime<Utc>,
}

impl Store {
    /// Returns all triggers. Reads all partitions.
    pub async fn triggers(&self) -> Result<Vec<TriggerRow>, StoreError> {
        self.stored::<Row>("FROM triggers", ()).await
    }

    pub async fn trigger(&self, job: &str, name: &str) -> Result<Option<TriggerRow>, StoreError> {
        self.one_stored::<Row>("FROM triggers WHERE job = ? AND name = ?", (job, name))
            .await
    }

    /// Writes all columns of a trigger, and replaces what was stored.
    pub async fn put_trigger(&self, row: &TriggerRow) -> Result<(), StoreError> {
        let columns = format!("{}, created_at", Row::COLUMNS);
        let put = Put {
            row: row.into(),
            created_at: Utc::now(),
        };
        self.write(&insert("triggers", &columns), put).await
    }

    /// Pauses or resumes a trigger.
    pub async fn pause_trigger(
        &self,
        job: &str,
        name: &str,
        paused: bool,
    ) -> Result<(), StoreError> {
        self.write(PAUSE, (paused, job, name)).await
    }

    /// Marks a trigger as removed. Its row is kept for later reference.
    pub async fn remove_trigger(&self, job: &str, name: &str) -> Result<(), StoreError> {
        self.write(REMOVE, (job, name)).await
    }
}
