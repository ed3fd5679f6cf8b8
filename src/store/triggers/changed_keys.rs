//! `changed_keys`: hints of applications, by UTC day.

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::{
    domain::trigger::{Key, hinted::Hint},
    process,
    store::{Store, driver::error::StoreError},
};

const FROM: &str = "SELECT at, key FROM changed_keys WHERE job = ? AND day = ? AND at >= ? LIMIT ?";
const HINT: &str = "INSERT INTO changed_keys (job, day, at, key) VALUES (?, ?, ?, ?)";

impl Store {
    /// Returns the hints of a day from `first` on, oldest first, `limit` of them at most.
    pub async fn changed_keys(
        &self,
        job: &str,
        day: NaiveDate,
        first: Uuid,
        limit: i32,
    ) -> Result<Vec<Hint>, StoreError> {
        type Row = (CqlTimeuuid, Option<Key>);
        let values = (job, day, CqlTimeuuid::from(first), limit);
        let rows: Vec<Row> = self.rows(FROM, values).await?;
        Ok(rows
            .into_iter()
            .map(|(at, key)| Hint { at: at.into(), key })
            .collect())
    }

    /// Reports a row as changed.
    pub async fn write_changed_key(
        &self,
        job: &str,
        now: DateTime<Utc>,
        key: &Key,
    ) -> Result<(), StoreError> {
        let at = CqlTimeuuid::from(process::timeuuid());
        self.write(HINT, (job, now.date_naive(), at, key)).await
    }
}
