//! `changed_keys`: hints of applications, by UTC day.

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use super::{Store, error::StoreError, run_requests::to_cql};
use crate::domain::{run_id, trigger::Key};

const SINCE: &str = "SELECT at, key FROM changed_keys WHERE job = ? AND day = ? AND at > ? LIMIT ?";

/// A row: which key changed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedKey {
    /// Its place in the day.
    pub at: Uuid,
    /// As somebody wrote it, if they did.
    pub key: Option<Key>,
}

impl ChangedKey {
    /// The time in `at`.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        let ticks = run_id::time_100ns(self.at)?;
        DateTime::from_timestamp_micros(i64::try_from(ticks / 10).ok()?)
    }
}

impl Store {
    /// The hints of a day after `after`, the oldest first, `limit` of them at most.
    pub async fn changed_keys(
        &self,
        job: &str,
        day: NaiveDate,
        after: Uuid,
        limit: i32,
    ) -> Result<Vec<ChangedKey>, StoreError> {
        type Row = (CqlTimeuuid, Option<Key>);
        let values = (job, to_cql(day), CqlTimeuuid::from(after), limit);
        let rows: Vec<Row> = self.rows(SINCE, values).await?;
        Ok(rows
            .into_iter()
            .map(|(at, key)| ChangedKey { at: at.into(), key })
            .collect())
    }
}
