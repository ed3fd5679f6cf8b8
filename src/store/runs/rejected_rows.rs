//! `rejected_rows`: rows that a run could not score, for users.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::{
    codec::literal,
    domain::{
        job::{
            CompiledJob,
            entity::{self, Entity},
        },
        run::Run,
    },
    store::{
        Store,
        driver::{
            error::StoreError,
            raw::{cells_of, push_cell},
        },
    },
};

const LIST: &str = "INSERT INTO rejected_rows (job, run_id, model_version, entity, key, reason) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
const REJECTED: &str = "SELECT entity, key FROM rejected_rows WHERE job = ? AND run_id = ? AND model_version = ? AND entity = ?";
const ALL_REJECTED: &str = "SELECT entity, key FROM rejected_rows WHERE job = ? AND run_id = ? AND model_version = ? AND entity > ? LIMIT ?";
const UNREJECT: &str = "DELETE FROM rejected_rows USING TIMESTAMP ? WHERE job = ? AND run_id = ? AND model_version = ? AND entity = ?";

/// Rows of a list of rejected rows that are read per page.
const LISTED_ROWS: i32 = 2_000;

/// A row of `rejected_rows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    pub version: i32,
    /// Key columns by name, as CQL literals without quotes.
    pub key: BTreeMap<String, String>,
    pub reason: String,
}

/// Returns key cells (in the form of `raw::RawValues`) as text for users, by column.
pub fn key_text(job: &CompiledJob, key: &[u8]) -> BTreeMap<String, String> {
    job.key
        .iter()
        .zip(cells_of(key))
        .map(|(column, cell)| {
            let text =
                cell.map_or_else(String::new, |cell| literal::to_text(&column.cql_type, cell));
            (column.name.clone(), text)
        })
        .collect()
}

/// Returns the key cells by column, in text form.
pub fn key_text_of_cells<'a>(
    job: &CompiledJob,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    cells.for_each(|cell| push_cell(&mut bytes, cell));
    key_text(job, &bytes)
}

impl Store {
    /// Lists rejected rows of a run. Listing the same rows again changes nothing. Like predictions,
    /// they carry the run's timestamp, so a late write loses against a later forget of the entity.
    pub async fn list_rejected(
        &self,
        run: &Run,
        job: &CompiledJob,
        rejected: &[(Vec<u8>, i32, String)],
    ) -> Result<(), StoreError> {
        let run_id = CqlTimeuuid::from(run.run_id);
        let row = |(key, version, reason): &(Vec<u8>, i32, String)| {
            let entity = entity::label(&job.key, job.partition_key_len, cells_of(key));
            (
                run.job.clone(),
                run_id,
                *version,
                entity,
                key_text(job, key),
                reason.clone(),
                run.run_base.unwrap_or_default(),
            )
        };
        let rows: Vec<_> = rejected.iter().map(row).collect();
        futures::stream::iter(rows)
            .map(|row| self.write(LIST, row))
            .buffer_unordered(32)
            .try_collect()
            .await
    }

    /// Returns the rejected rows of a run, at most `limit`.
    pub async fn rejected_rows(
        &self,
        run: &Run,
        limit: i32,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        type Row = (i32, Option<BTreeMap<String, String>>, Option<String>);
        let cql = "SELECT model_version, key, reason FROM rejected_rows WHERE job = ? AND run_id = ? LIMIT ?";
        let rows: Vec<Row> = self
            .rows(cql, (&run.job, CqlTimeuuid::from(run.run_id), limit))
            .await?;
        Ok(rows
            .into_iter()
            .map(|(version, key, reason)| RejectedRow {
                version,
                key: key.unwrap_or_default(),
                reason: reason.unwrap_or_default(),
            })
            .collect())
    }

    /// Returns the labels under which a run's list of rejected rows names the entity for a version:
    /// the entity's own, and those that older versions of helenus wrote, when several entities
    /// could share a label.
    pub async fn rejected_labels(
        &self,
        job: &str,
        run_id: Uuid,
        version: i32,
        entity: &Entity,
    ) -> Result<Vec<String>, StoreError> {
        type Row = (String, Option<BTreeMap<String, String>>);
        let run_id = CqlTimeuuid::from(run_id);
        let mut labels = Vec::new();
        let mut take = |rows: Vec<Row>| {
            let named = rows.into_iter().filter(|(label, key)| {
                let key = key.as_ref();
                key.map_or_else(|| *label == entity.label(), |key| entity.is(key))
            });
            labels.extend(named.map(|(label, _)| label));
        };
        if entity.has_spellings() {
            let mut after = String::new();
            loop {
                let values = (job, run_id, version, after.as_str(), LISTED_ROWS);
                let rows: Vec<Row> = self.rows(ALL_REJECTED, values).await?;
                let last = rows.last().map(|(label, _)| label.clone());
                take(rows);
                match last {
                    Some(last) => after = last,
                    None => return Ok(labels),
                }
            }
        }
        let (own, joined) = (entity.label(), entity.joined());
        take(self.rows(REJECTED, (job, run_id, version, &own)).await?);
        if joined != own {
            take(self.rows(REJECTED, (job, run_id, version, &joined)).await?);
        }
        Ok(labels)
    }

    /// Removes the row with that label from the list.
    pub async fn unlist_rejected(
        &self,
        job: &str,
        run_id: Uuid,
        version: i32,
        label: &str,
        timestamp: i64,
    ) -> Result<(), StoreError> {
        let run_id = CqlTimeuuid::from(run_id);
        self.write(UNREJECT, (timestamp, job, run_id, version, label))
            .await
    }
}
