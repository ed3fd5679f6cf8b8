//! People's requests for runs, and the answers to all requests, of a day.

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::run::run_id,
    store::{
        Store,
        driver::{columns::stored, error::StoreError},
    },
};

/// A row of `run_requests`, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequestLine {
    pub id: Uuid,
    pub action: Option<String>,
    pub job: Option<String>,
    pub target_run: Option<Uuid>,
    pub scope: Option<String>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
}

stored! {
    read struct RunRequestColumns of RunRequestLine {
        id: CqlTimeuuid,
        action: Option<String>,
        job: Option<String>,
        target_run: Option<CqlTimeuuid>,
        scope: Option<String>,
        requested_by: Option<String>,
        note: Option<String>,
    }
}

/// A row of `answers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerLine {
    pub id: Uuid,
    pub answer: Option<String>,
    pub reason: Option<String>,
    pub run_id: Option<Uuid>,
    pub answered_by: Option<String>,
    pub answered_at: Option<DateTime<Utc>>,
}

stored! {
    read struct AnswerColumns of AnswerLine {
        id: CqlTimeuuid,
        answer: Option<String>,
        reason: Option<String>,
        run_id: Option<CqlTimeuuid>,
        answered_by: Option<String>,
        answered_at: Option<CqlTimestamp>,
    }
}

/// Returns the time of a timeuuid.
pub fn time_of(id: Uuid) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros((run_id::time_100ns(id)? / 10) as i64)
}

impl Store {
    /// Returns the newest requests for runs of a day, `limit` at most, newest first.
    pub async fn run_request_lines(
        &self,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<RunRequestLine>, StoreError> {
        let columns = RunRequestColumns::COLUMNS;
        let rows: Vec<RunRequestColumns> = self.of_day("run_requests", columns, day, limit).await?;
        Ok(rows.into_iter().map(RunRequestLine::from).collect())
    }

    /// Returns the newest answers of a day, `limit` at most, newest first.
    pub async fn answer_lines(
        &self,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<AnswerLine>, StoreError> {
        let columns = AnswerColumns::COLUMNS;
        let rows: Vec<AnswerColumns> = self.of_day("answers", columns, day, limit).await?;
        Ok(rows.into_iter().map(AnswerLine::from).collect())
    }

    /// Returns the request for a run with this id, of one of these days.
    pub async fn run_request_line(
        &self,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<RunRequestLine>, StoreError> {
        let columns = RunRequestColumns::COLUMNS;
        let row: Option<RunRequestColumns> = self.of_id("run_requests", columns, days, id).await?;
        Ok(row.map(RunRequestLine::from))
    }

    /// Returns the answer to a request of one of these days.
    pub async fn answer_line(
        &self,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<AnswerLine>, StoreError> {
        let columns = AnswerColumns::COLUMNS;
        let row: Option<AnswerColumns> = self.of_id("answers", columns, days, id).await?;
        Ok(row.map(AnswerLine::from))
    }

    pub(in crate::store) async fn of_day<R>(
        &self,
        table: &str,
        columns: &str,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
    {
        let cql = format!("SELECT {columns} FROM {table} WHERE day = ? ORDER BY id DESC LIMIT ?");
        self.rows(&cql, (day, limit)).await
    }

    pub(in crate::store) async fn of_id<R>(
        &self,
        table: &str,
        columns: &str,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
    {
        if days.is_empty() {
            return Ok(None);
        }
        let cql = format!("SELECT {columns} FROM {table} WHERE day IN ? AND id = ?");
        let rows: Vec<R> = self.rows(&cql, (days, CqlTimeuuid::from(id))).await?;
        Ok(rows.into_iter().next())
    }
}
