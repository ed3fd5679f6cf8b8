//! `passes` and `pass_parts`: how far a pass over predictions has come.
//!
//! Both are written conditionally and once: two processes that make the same pass share its plan,
//! and add up the same parts.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use super::{
    Store, codec,
    error::{StoreError, StoreErrorKind},
    statement::Applied,
};
use crate::domain::ring::TokenRange;

const BEGIN: &str = "INSERT INTO passes (job, what, pass_id, plan, begun_by, begun_at) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const READ: &str = "SELECT pass_id, plan, begun_at FROM passes WHERE job = ? AND what = ?";
const END: &str = "DELETE FROM passes WHERE job = ? AND what = ? IF pass_id = ?";
const KEEP: &str = "INSERT INTO pass_parts (pass_id, split, part) VALUES (?, ?, ?) IF NOT EXISTS";
const PART: &str = "SELECT part FROM pass_parts WHERE pass_id = ? AND split = ?";
const REMOVE: &str = "DELETE FROM pass_parts WHERE pass_id = ? AND split = ? IF EXISTS";
/// Parts removed at a time.
const AT_A_TIME: usize = 16;
/// Writes whose outcome nobody knows before Cassandra's trouble is everybody's.
const TRIES: u32 = 3;

/// What is fixed for a pass when it begins.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PassPlan {
    /// In ring order; together the whole ring.
    pub splits: Vec<TokenRange>,
    /// What whoever adds up decided beforehand.
    pub settings: Vec<u8>,
}

/// A row of `passes`.
#[derive(Debug, Clone)]
pub struct PassRow {
    /// The job.
    pub job: String,
    /// What is passed over, and how.
    pub what: [u8; 16],
    /// Made by whoever began it.
    pub pass_id: Uuid,
    /// Its plan.
    pub plan: PassPlan,
    /// When it began.
    pub begun_at: DateTime<Utc>,
}

impl Store {
    /// The pass under way; `None`: there is none.
    pub async fn pass(&self, job: &str, what: [u8; 16]) -> Result<Option<PassRow>, StoreError> {
        type Row = (Option<CqlTimeuuid>, Option<Vec<u8>>, Option<CqlTimestamp>);
        let row: Option<Row> = self.serial_row(READ, (job, &what[..])).await?;
        let Some((Some(pass_id), Some(plan), begun_at)) = row else {
            return Ok(None);
        };
        let begun_at = begun_at.and_then(|at| DateTime::from_timestamp_millis(at.0));
        Ok(Some(PassRow {
            job: job.to_owned(),
            what,
            pass_id: pass_id.into(),
            plan: codec::decode(&plan).map_err(|error| StoreError::corrupt(error, READ))?,
            begun_at: begun_at.unwrap_or_default(),
        }))
    }

    /// Begins it, unless somebody else was first.
    ///
    /// # Errors
    /// As [`Store::apply`]; whoever is not sure reads it back.
    pub async fn begin_pass(&self, row: &PassRow, by: &str) -> Result<(), StoreError> {
        let values = (
            &row.job,
            &row.what[..],
            CqlTimeuuid::from(row.pass_id),
            codec::encode(&row.plan),
            by,
            CqlTimestamp(row.begun_at.timestamp_millis()),
        );
        match self.apply(BEGIN, values).await {
            Err(error) if error.kind == StoreErrorKind::Unknown => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// What a split found; `None`: it was not finished yet.
    pub async fn pass_part(
        &self,
        pass_id: Uuid,
        split: i32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = (CqlTimeuuid::from(pass_id), split);
        let row: Option<(Option<Vec<u8>>,)> = self.row(PART, key).await?;
        Ok(row.and_then(|(part,)| part))
    }

    /// Keeps what a split found, unless somebody else finished it first; gives what stands.
    pub async fn keep_pass_part(
        &self,
        pass_id: Uuid,
        split: i32,
        part: Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        let id = CqlTimeuuid::from(pass_id);
        let mut tries = 1;
        loop {
            let error = match self.apply(KEEP, (id, split, &part)).await {
                Ok(Applied::Yes) => return Ok(part),
                Ok(Applied::No(_)) => None,
                Err(error) if error.kind == StoreErrorKind::Unknown => Some(error),
                Err(error) => return Err(error),
            };
            let row: Option<(Option<Vec<u8>>,)> = self.serial_row(PART, (id, split)).await?;
            if let Some((Some(stands),)) = row {
                return Ok(stands);
            }
            // Nobody's: it was removed, or its lifetime has ended, or the write never arrived.
            if let Some(error) = error
                && tries == TRIES
            {
                return Err(error);
            }
            tries += 1;
        }
    }

    /// Removes a pass that has ended; safe to repeat. The row that names the parts goes last, so
    /// that whoever dies half-way leaves it to be found.
    pub async fn end_pass(&self, row: &PassRow) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(row.pass_id);
        futures::stream::iter(0..row.plan.splits.len() as i32)
            .map(|split| self.delete_or_leave(REMOVE, (id, split)))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        self.delete_or_leave(END, (&row.job, &row.what[..], id))
            .await
    }

    /// An unknown outcome is left at that: the rest goes with its lifetime.
    async fn delete_or_leave(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<(), StoreError> {
        match self.apply(cql, values).await {
            Err(error) if error.kind != StoreErrorKind::Unknown => Err(error),
            _ => Ok(()),
        }
    }
}
