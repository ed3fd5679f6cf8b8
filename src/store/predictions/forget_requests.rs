//! Finds and erases what requests and their answers say about one entity. The rules are those of
//! [`forget`](super::forget).

use chrono::NaiveDate;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use super::forget::Keys;
use crate::store::{Store, driver::error::StoreError};

const REQUESTS: &str = "SELECT id, job, keys, note, dedupe_key, WRITETIME(keys) AS keys_written, WRITETIME(note) AS note_written, WRITETIME(dedupe_key) AS dedupe_key_written, TTL(keys) AS keys_ttl, TTL(note) AS note_ttl, TTL(dedupe_key) AS dedupe_key_ttl FROM run_requests WHERE day = ?";
const BLANK_REQUEST: &str = "UPDATE run_requests USING TIMESTAMP ? AND TTL ? SET keys = ?, note = ?, dedupe_key = ? WHERE day = ? AND id = ?";
const ANSWERS: &str = "SELECT id, reason, TTL(reason) FROM answers WHERE day = ?";
const BLANK_ANSWER: &str =
    "UPDATE answers USING TTL ? SET reason = ? WHERE day = ? AND id = ? IF reason = ?";

/// Columns of a request that may name an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestTexts {
    pub id: Uuid,
    pub job: Option<String>,
    /// The requested keys.
    pub keys: Option<Keys>,
    /// Why it was made.
    pub note: Option<String>,
    /// Identifies repetitions of the same request.
    pub dedupe_key: Option<String>,
    /// When the newest of these cells was written, in microseconds.
    pub written_at: i64,
    /// Seconds until the longest-lived of these cells expires; 0: never.
    pub ttl: i32,
}

#[derive(DeserializeRow)]
struct RequestRow {
    id: CqlTimeuuid,
    job: Option<String>,
    keys: Option<Keys>,
    note: Option<String>,
    dedupe_key: Option<String>,
    keys_written: Option<i64>,
    note_written: Option<i64>,
    dedupe_key_written: Option<i64>,
    keys_ttl: Option<i32>,
    note_ttl: Option<i32>,
    dedupe_key_ttl: Option<i32>,
}

impl Store {
    /// Returns what may name an entity in the requests of a day.
    pub async fn request_texts(&self, day: NaiveDate) -> Result<Vec<RequestTexts>, StoreError> {
        let rows: Vec<RequestRow> = self.rows(REQUESTS, (day,)).await?;
        let rows = rows.into_iter().map(|row| {
            let written_at = row.keys_written.max(row.note_written);
            let ttl = row.keys_ttl.max(row.note_ttl);
            RequestTexts {
                id: row.id.into(),
                job: row.job,
                keys: row.keys,
                note: row.note,
                dedupe_key: row.dedupe_key,
                written_at: written_at.max(row.dedupe_key_written).unwrap_or_default(),
                ttl: ttl.max(row.dedupe_key_ttl).unwrap_or_default(),
            }
        });
        Ok(rows.collect())
    }

    /// Writes the new texts of a request. Later writes of a client win.
    pub async fn blank_request(
        &self,
        day: NaiveDate,
        request: &RequestTexts,
    ) -> Result<(), StoreError> {
        let values = (
            request.written_at + 1,
            request.ttl,
            &request.keys,
            &request.note,
            &request.dedupe_key,
            day,
            CqlTimeuuid::from(request.id),
        );
        self.write(BLANK_REQUEST, values).await
    }

    /// Returns the reasons answered on a day: (request, reason, seconds until it expires).
    pub async fn answer_texts(
        &self,
        day: NaiveDate,
    ) -> Result<Vec<(Uuid, String, i32)>, StoreError> {
        type Row = (CqlTimeuuid, Option<String>, Option<i32>);
        let rows: Vec<Row> = self.rows(ANSWERS, (day,)).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, reason, ttl)| Some((id.into(), reason?, ttl.unwrap_or_default())))
            .collect())
    }

    /// Changes a reason if it still is `was`.
    pub async fn blank_answer(
        &self,
        day: NaiveDate,
        (id, was, ttl): &(Uuid, String, i32),
        reason: &str,
    ) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(*id);
        let values = (ttl, reason, day, id, was);
        self.apply_ignoring_unknown(BLANK_ANSWER, values).await
    }
}
