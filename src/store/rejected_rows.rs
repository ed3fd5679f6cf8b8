//! `rejected_rows`: what a run could not score, for people. And reading predictions back.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use scylla::value::CqlTimeuuid;

use super::{Store, error::StoreError, raw::cells_of};
use crate::domain::{job::CompiledJob, literal, run::Run};

const LIST: &str = "INSERT INTO rejected_rows (job, run_id, model_version, entity, key, reason) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";

/// A row of `rejected_rows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// The model version.
    pub version: i32,
    /// Key columns by name, as CQL literals without quotes.
    pub key: BTreeMap<String, String>,
    /// What was wrong.
    pub reason: String,
}

/// Key cells (in the form of `raw::RawValues`) as people write them, by column.
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

impl Store {
    /// Lists rejected rows of a run. The same rows again are the same rows, and like predictions
    /// they carry the run's timestamp: what arrives late loses against whoever forgot the entity.
    pub async fn list_rejected(
        &self,
        run: &Run,
        job: &CompiledJob,
        rejected: &[(Vec<u8>, i32, String)],
    ) -> Result<(), StoreError> {
        let run_id = CqlTimeuuid::from(run.run_id);
        let row = |(key, version, reason): &(Vec<u8>, i32, String)| {
            let key = key_text(job, key);
            let entity: Vec<_> = job
                .key
                .iter()
                .map(|column| key[&column.name].as_str())
                .collect();
            let entity = entity.join("|");
            (
                run.job.clone(),
                run_id,
                *version,
                entity,
                key,
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

    /// The rejected rows of a run, at most `limit`.
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
}
