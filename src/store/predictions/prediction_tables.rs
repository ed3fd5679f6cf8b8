//! `prediction_tables`: which job a prediction table belongs to, and what helenus created in it.

use std::collections::BTreeMap;

use chrono::Utc;

use crate::{
    domain::job::manifest::TableName,
    store::{Store, driver::error::StoreError},
};

const SELECT: &str =
    "SELECT job, outputs FROM prediction_tables WHERE keyspace_name = ? AND table_name = ?";
const INSERT: &str = "INSERT INTO prediction_tables (keyspace_name, table_name, job, outputs, claimed_at) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
const EXTEND: &str = "UPDATE prediction_tables SET outputs = ? WHERE keyspace_name = ? AND table_name = ? IF job = ? AND outputs = ?";

/// A row of `prediction_tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub job: String,
    /// Every output column created so far, name -> type.
    pub outputs: BTreeMap<String, String>,
}

impl Store {
    /// Returns the claim on a table, or `None` if no job has claimed it.
    pub async fn claim_of(&self, table: &TableName) -> Result<Option<Claim>, StoreError> {
        type Row = (Option<String>, Option<BTreeMap<String, String>>);
        let row: Option<Row> = self
            .serial_row(SELECT, (&table.keyspace, &table.table))
            .await?;
        Ok(row.and_then(|(job, outputs)| {
            Some(Claim {
                job: job?,
                outputs: outputs.unwrap_or_default(),
            })
        }))
    }

    /// Claims the table for `job` and records the output columns it is about to have. Returns the
    /// stored claim: another job may have been faster.
    pub async fn claim_table(
        &self,
        table: &TableName,
        job: &str,
        outputs: &BTreeMap<String, String>,
    ) -> Result<Claim, StoreError> {
        loop {
            let standing = self.claim_of(table).await?;
            // Whether this write or another one succeeded, the stored row is read again.
            match &standing {
                None => {
                    let values = (&table.keyspace, &table.table, job, outputs, Utc::now());
                    self.apply_ignoring_unknown(INSERT, values).await?;
                }
                Some(claim) if claim.job != job => return Ok(claim.clone()),
                Some(claim) => {
                    let mut extended = claim.outputs.clone();
                    extended.extend(outputs.clone());
                    if extended == claim.outputs {
                        return Ok(claim.clone());
                    }
                    let values = (extended, &table.keyspace, &table.table, job, &claim.outputs);
                    self.apply_ignoring_unknown(EXTEND, values).await?;
                }
            }
        }
    }
}
