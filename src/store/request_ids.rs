//! Which requests of people there are, by id: what a poller reads often must be small.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use super::{Store, error::StoreError, run_requests::to_cql};

/// A table of people's requests, whose answers stand in `answers` under the same (day, id).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// `run_requests`.
    Run,
    /// `alias_requests`.
    Alias,
}

impl Requests {
    fn table(self) -> &'static str {
        match self {
            Self::Run => "run_requests",
            Self::Alias => "alias_requests",
        }
    }
}

impl Store {
    /// Ids of a day's requests: all, or those asked after `since` by the clock that made the id.
    pub async fn request_ids(
        &self,
        table: Requests,
        day: NaiveDate,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Uuid>, StoreError> {
        self.ids(table.table(), day, since).await
    }

    /// As [`Store::request_ids`], those that have an answer.
    pub async fn answered_ids(
        &self,
        day: NaiveDate,
        since: Option<DateTime<Utc>>,
    ) -> Result<HashSet<Uuid>, StoreError> {
        Ok(self.ids("answers", day, since).await?.into_iter().collect())
    }

    async fn ids(
        &self,
        table: &str,
        day: NaiveDate,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<(CqlTimeuuid,)> = match since {
            None => {
                let cql = format!("SELECT id FROM {table} WHERE day = ?");
                self.rows(&cql, (to_cql(day),)).await?
            }
            Some(since) => {
                let cql = format!("SELECT id FROM {table} WHERE day = ? AND id > minTimeuuid(?)");
                let since = CqlTimestamp(since.timestamp_millis());
                self.rows(&cql, (to_cql(day), since)).await?
            }
        };
        Ok(ids.into_iter().map(|(id,)| id.into()).collect())
    }
}
