//! Lists users' requests by id only, so that frequent polling reads little.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::store::{Store, driver::error::StoreError};

/// A table of users' requests, whose answers are in `answers` under the same (day, id).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    Run,
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
    /// Returns the ids of a day's requests: all, or those made after `since` by the clock that made
    /// the id.
    pub async fn request_ids(
        &self,
        table: Requests,
        day: NaiveDate,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Uuid>, StoreError> {
        self.ids(table.table(), day, since).await
    }

    /// As [`Store::request_ids`], of requests that have an answer.
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
                self.rows(&cql, (day,)).await?
            }
            Some(since) => {
                let cql = format!("SELECT id FROM {table} WHERE day = ? AND id > minTimeuuid(?)");
                self.rows(&cql, (day, since)).await?
            }
        };
        Ok(ids.into_iter().map(|(id,)| id.into()).collect())
    }
}
