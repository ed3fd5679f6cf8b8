//! People's requests for runs, and the answers to all requests, of a day.

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::run::run_id,
    store::{
        Store,
        driver::{
            columns::{Stored, stored},
            error::StoreError,
        },
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
        self.of_day::<RunRequestColumns>("run_requests", day, limit)
            .await
    }

    /// Returns the newest answers of a day, `limit` at most, newest first.
    pub async fn answer_lines(
        &self,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<AnswerLine>, StoreError> {
        self.of_day::<AnswerColumns>("answers", day, limit).await
    }

    /// Returns the request for a run with this id, of one of these days.
    pub async fn run_request_line(
        &self,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<RunRequestLine>, StoreError> {
        self.of_id::<RunRequestColumns>("run_requests", days, id)
            .await
    }

    /// Returns the answer to a request of one of these days.
    pub async fn answer_line(
        &self,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<AnswerLine>, StoreError> {
        self.of_id::<AnswerColumns>("answers", days, id).await
    }

    /// Returns the newest rows of a day, `limit` at most, newest first.
    pub(in crate::store) async fn of_day<R: Stored>(
        &self,
        table: &str,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<R::Used>, StoreError> {
        let from = format!("FROM {table} WHERE day = ? ORDER BY id DESC LIMIT ?");
        self.stored::<R>(&from, (day, limit)).await
    }

    /// Returns the row with this id, of one of these days.
    pub(in crate::store) async fn of_id<R: Stored>(
        &self,
        table: &str,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<R::Used>, StoreError> {
        if days.is_empty() {
            return Ok(None);
        }
        let from = format!("FROM {table} WHERE day IN ? AND id = ?");
        self.one_stored::<R>(&from, (days, CqlTimeuuid::from(id)))
            .await
    }
}
