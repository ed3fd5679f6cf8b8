//! `passes` and `pass_parts`: the progress of a pass over predictions.
//!
//! Both are written conditionally and once: two processes that make the same pass share its plan,
//! and add up the same parts.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::{
    codec::ring::TokenRange,
    store::{
        Store,
        driver::{codec, columns::Cell, conditional::known, error::StoreError},
    },
};

const BEGIN: &str = "INSERT INTO passes (job, what, pass_id, plan, begun_by, begun_at) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const READ: &str = "SELECT pass_id, plan, begun_at FROM passes WHERE job = ? AND what = ?";
const END: &str = "DELETE FROM passes WHERE job = ? AND what = ? IF pass_id = ?";
const KEEP: &str = "INSERT INTO pass_parts (pass_id, split, part) VALUES (?, ?, ?) IF NOT EXISTS";
const PART: &str = "SELECT part FROM pass_parts WHERE pass_id = ? AND split = ?";
const REMOVE: &str = "DELETE FROM pass_parts WHERE pass_id = ? AND split = ? IF EXISTS";
const AT_A_TIME: usize = 16;
/// Attempts with an unknown outcome before the error is returned.
const TRIES: u32 = 3;

/// Largest number of bytes of a part in one row of `pass_parts`.
const ROW_BYTES: usize = 1 << 20;

/// Content of a row of `pass_parts` that belongs to a split.
#[derive(serde::Serialize, serde::Deserialize)]
enum Kept {
    Here(Vec<u8>),
    /// The part is in other rows, which were written before.
    Elsewhere(Rows),
}

/// Rows 0 to `rows` of `pass_parts` under their own id: one part, too large for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rows {
    id: [u8; 16],
    rows: i32,
}

/// What a split found, as it was stored.
#[derive(Debug)]
pub struct PassPart {
    pub bytes: Vec<u8>,
    /// The rows that hold it, if it is not in one row.
    pub rows: Option<Rows>,
}

/// What is fixed for a pass when it begins.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PassPlan {
    /// In ring order; together the whole ring.
    pub splits: Vec<TokenRange>,
    /// Settings that the code which adds up the parts fixed beforehand.
    pub settings: Vec<u8>,
}

/// A row of `passes`.
#[derive(Debug, Clone)]
pub struct PassRow {
    pub job: String,
    /// Identifies what is passed over, and how.
    pub what: [u8; 16],
    /// Created by the process that began the pass.
    pub pass_id: Uuid,
    pub plan: PassPlan,
    pub begun_at: DateTime<Utc>,
}

impl Store {
    /// Returns the pass under way, if any.
    pub async fn pass(&self, job: &str, what: [u8; 16]) -> Result<Option<PassRow>, StoreError> {
        type Row = (Option<CqlTimeuuid>, Option<Vec<u8>>, Option<CqlTimestamp>);
        let row: Option<Row> = self.serial_row(READ, (job, &what[..])).await?;
        let Some((Some(pass_id), Some(plan), begun_at)) = row else {
            return Ok(None);
        };
        Ok(Some(PassRow {
            job: job.to_owned(),
            what,
            pass_id: pass_id.into(),
            plan: codec::decode(&plan).map_err(|error| StoreError::corrupt(error, READ))?,
            begun_at: begun_at.cell(),
        }))
    }

    /// Begins the pass, unless another process was first: the caller reads back which pass is
    /// stored.
    pub async fn begin_pass(&self, row: &PassRow, by: &str) -> Result<(), StoreError> {
        let values = (
            &row.job,
            &row.what[..],
            CqlTimeuuid::from(row.pass_id),
            codec::encode(&row.plan),
            by,
            row.begun_at,
        );
        self.apply_ignoring_unknown(BEGIN, values).await
    }

    /// Returns what a split found; `None`: it is not finished yet.
    pub async fn pass_part(
        &self,
        pass_id: Uuid,
        split: i32,
    ) -> Result<Option<PassPart>, StoreError> {
        let key = (CqlTimeuuid::from(pass_id), split);
        let row: Option<(Option<Vec<u8>>,)> = self.row(PART, key).await?;
        match row.and_then(|(part,)| part) {
            Some(kept) => self.gathered(&kept).await,
            None => Ok(None),
        }
    }

    /// Stores what a split found, unless another process finished it first; returns the stored
    /// part. `rows_id`: a new id, for the rows of a large part.
    pub async fn keep_pass_part(
        &self,
        pass_id: Uuid,
        split: i32,
        part: Vec<u8>,
        rows_id: Uuid,
    ) -> Result<PassPart, StoreError> {
        let rows = self.spread(&part, rows_id).await?;
        let kept = codec::encode(&match rows {
            Some(rows) => Kept::Elsewhere(rows),
            None => Kept::Here(part.clone()),
        });
        let own = PassPart { bytes: part, rows };
        let stands = self.keep_row(pass_id, split, &kept).await?;
        if stands == kept {
            return Ok(own);
        }
        if let Some(rows) = rows {
            self.remove_pass_rows(rows).await?;
        }
        // The rows have expired: what this process found is equally valid.
        Ok(self
            .gathered(&stands)
            .await?
            .unwrap_or(PassPart { rows: None, ..own }))
    }

    /// Writes a part that is too large for one row; returns `None` if it is not.
    async fn spread(&self, part: &[u8], rows_id: Uuid) -> Result<Option<Rows>, StoreError> {
        if part.len() <= ROW_BYTES {
            return Ok(None);
        }
        let mut rows = 0;
        for piece in part.chunks(ROW_BYTES) {
            self.keep_row(rows_id, rows, piece).await?;
            rows += 1;
        }
        let id = rows_id.into_bytes();
        Ok(Some(Rows { id, rows }))
    }

    /// Returns the content of a row, or of the rows that it names; `None`: they are gone.
    async fn gathered(&self, kept: &[u8]) -> Result<Option<PassPart>, StoreError> {
        let kept = codec::decode(kept).map_err(|error| StoreError::corrupt(error, PART))?;
        let rows: Rows = match kept {
            Kept::Here(bytes) => return Ok(Some(PassPart { bytes, rows: None })),
            Kept::Elsewhere(rows) => rows,
        };
        let id = CqlTimeuuid::from(Uuid::from_bytes(rows.id));
        let mut bytes = Vec::new();
        for row in 0..rows.rows {
            let row: Option<(Option<Vec<u8>>,)> = self.row(PART, (id, row)).await?;
            let Some((Some(piece),)) = row else {
                return Ok(None);
            };
            bytes.extend_from_slice(&piece);
        }
        let rows = Some(rows);
        Ok(Some(PassPart { bytes, rows }))
    }

    /// Writes a row unless it exists; returns the stored content.
    async fn keep_row(&self, id: Uuid, split: i32, part: &[u8]) -> Result<Vec<u8>, StoreError> {
        let id = CqlTimeuuid::from(id);
        let mut tries = 1;
        loop {
            // A refusal is read back as well: the caller needs the stored part.
            let applied = known(self.apply(KEEP, (id, split, part)).await)?;
            if matches!(applied, Ok(true)) {
                return Ok(part.to_vec());
            }
            let row: Option<(Option<Vec<u8>>,)> = self.serial_row(PART, (id, split)).await?;
            if let Some((Some(stands),)) = row {
                return Ok(stands);
            }
            // No row: it was removed, or has expired, or the write never arrived.
            if tries == TRIES {
                applied?;
            }
            tries += 1;
        }
    }

    /// Removes a pass that has ended, with the rows of its large parts; safe to repeat. The row
    /// that names the parts is deleted last, so that after a crash half-way it can still be found.
    /// What a delete of unknown outcome leaves behind expires.
    pub async fn end_pass(&self, row: &PassRow, large: &[Rows]) -> Result<(), StoreError> {
        for rows in large {
            self.remove_pass_rows(*rows).await?;
        }
        let id = CqlTimeuuid::from(row.pass_id);
        futures::stream::iter(0..row.plan.splits.len() as i32)
            .map(|split| self.apply_ignoring_unknown(REMOVE, (id, split)))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        self.apply_ignoring_unknown(END, (&row.job, &row.what[..], id))
            .await
    }

    async fn remove_pass_rows(&self, rows: Rows) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(Uuid::from_bytes(rows.id));
        for row in 0..rows.rows {
            self.apply_ignoring_unknown(REMOVE, (id, row)).await?;
        }
        Ok(())
    }
}
