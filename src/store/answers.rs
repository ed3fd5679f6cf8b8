//! `answers`: what the worker says to a request, under the request's own key, once.

use std::collections::HashSet;

use chrono::{NaiveDate, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    run_requests::to_cql,
};
use crate::process;

const INSERT: &str = "INSERT INTO answers (day, id, answer, reason, run_id, answered_by, answered_at) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const READ: &str = "SELECT answer, reason, run_id FROM answers WHERE day = ? AND id = ?";

const ANSWERED: &str = "SELECT id FROM answers WHERE day = ?";

/// A row of `answers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// accepted, joined, done, refused or expired.
    pub answer: String,
    /// Why, or what came of it.
    pub reason: Option<String>,
    /// The run that was opened or joined.
    pub run_id: Option<Uuid>,
}

impl Store {
    /// The answer to a request, if there is one.
    pub async fn answer(&self, day: NaiveDate, id: Uuid) -> Result<Option<Answer>, StoreError> {
        type Row = (Option<String>, Option<String>, Option<CqlTimeuuid>);
        let row: Option<Row> = self
            .serial_row(READ, (to_cql(day), CqlTimeuuid::from(id)))
            .await?;
        Ok(row.map(|(answer, reason, run_id)| Answer {
            answer: answer.unwrap_or_default(),
            reason,
            run_id: run_id.map(Uuid::from),
        }))
    }

    /// The requests of a day that have an answer.
    pub async fn answered(&self, day: NaiveDate) -> Result<HashSet<Uuid>, StoreError> {
        let ids: Vec<(CqlTimeuuid,)> = self.rows(ANSWERED, (to_cql(day),)).await?;
        Ok(ids.into_iter().map(|(id,)| id.into()).collect())
    }

    /// Answers a request unless somebody has; gives the answer that stands.
    pub async fn insert_answer(
        &self,
        day: NaiveDate,
        id: Uuid,
        answer: &Answer,
    ) -> Result<Answer, StoreError> {
        let values = (
            to_cql(day),
            CqlTimeuuid::from(id),
            &answer.answer,
            &answer.reason,
            answer.run_id.map(CqlTimeuuid::from),
            process::spoken(process::identity()),
            CqlTimestamp(Utc::now().timestamp_millis()),
        );
        match self.apply(INSERT, values).await {
            Ok(applied) if applied.yes() => return Ok(answer.clone()),
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::Unknown => {}
            Err(error) => return Err(error),
        }
        self.answer(day, id).await?.ok_or_else(|| StoreError {
            kind: StoreErrorKind::Unknown,
            detail: "the answer was not written".to_owned(),
            cql: INSERT.to_owned(),
        })
    }
}
