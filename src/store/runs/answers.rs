//! `answers`: the worker's answer to a request, under the request's own key, written once.

use std::collections::HashSet;

use chrono::{NaiveDate, Utc};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::{
    domain::answer::RequestAnswer,
    process,
    store::{
        Store,
        driver::{conditional::known, error::StoreError},
    },
};

const INSERT: &str = "INSERT INTO answers (day, id, answer, reason, run_id, answered_by, answered_at) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const READ: &str = "SELECT answer, reason, run_id FROM answers WHERE day = ? AND id = ?";

const ANSWERED: &str = "SELECT id FROM answers WHERE day = ?";

impl Store {
    /// Returns the answer to a request, if there is one.
    pub async fn answer(
        &self,
        day: NaiveDate,
        id: Uuid,
    ) -> Result<Option<RequestAnswer>, StoreError> {
        type Row = (Option<String>, Option<String>, Option<CqlTimeuuid>);
        let row: Option<Row> = self.serial_row(READ, (day, CqlTimeuuid::from(id))).await?;
        Ok(row.map(|(kind, reason, run_id)| {
            RequestAnswer::from_columns(kind.as_deref(), reason, run_id.map(Uuid::from))
        }))
    }

    /// Returns the requests of a day that have an answer.
    pub async fn answered(&self, day: NaiveDate) -> Result<HashSet<Uuid>, StoreError> {
        let ids: Vec<(CqlTimeuuid,)> = self.rows(ANSWERED, (day,)).await?;
        Ok(ids.into_iter().map(|(id,)| id.into()).collect())
    }

    /// Answers a request unless it is already answered; returns the stored answer.
    pub async fn insert_answer(
        &self,
        day: NaiveDate,
        id: Uuid,
        answer: &RequestAnswer,
    ) -> Result<RequestAnswer, StoreError> {
        let values = (
            day,
            CqlTimeuuid::from(id),
            answer.kind.as_str(),
            &answer.reason,
            answer.run_id.map(CqlTimeuuid::from),
            process::readable(process::identity()),
            Utc::now(),
        );
        // Refused or unknown: the stored answer is read.
        if known(self.apply(INSERT, values).await)?.unwrap_or(false) {
            return Ok(answer.clone());
        }
        let standing = self.answer(day, id).await?;
        standing.ok_or_else(|| StoreError::unknown("the answer was not written", INSERT))
    }
}
