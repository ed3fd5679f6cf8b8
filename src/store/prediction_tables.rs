//! `prediction_tables`: which job a prediction table belongs to, and what helenus made of it.

use std::collections::BTreeMap;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    migrate::now,
    statement::Applied,
};
use crate::domain::manifest::TableName;

const SELECT: &str =
    "SELECT job, outputs FROM prediction_tables WHERE keyspace_name = ? AND table_name = ?";
const INSERT: &str = "INSERT INTO prediction_tables (keyspace_name, table_name, job, outputs, claimed_at) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
const EXTEND: &str = "UPDATE prediction_tables SET outputs = ? WHERE keyspace_name = ? AND table_name = ? IF job = ? AND outputs = ?";

/// A table's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub job: String,
    /// Every output column made so far, name -> type.
    pub outputs: BTreeMap<String, String>,
}

impl Store {
    /// Whose table it is; `None`: nobody's.
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

    /// Takes the table for `job` and notes the output columns it is about to have. Gives whose it
    /// is after all: another job may have been faster.
    pub async fn claim_table(
        &self,
        table: &TableName,
        job: &str,
        outputs: &BTreeMap<String, String>,
    ) -> Result<Claim, StoreError> {
        loop {
            let standing = self.claim_of(table).await?;
            let outcome = match &standing {
                None => {
                    let values = (&table.keyspace, &table.table, job, outputs, now());
                    self.apply(INSERT, values).await
                }
                Some(claim) if claim.job != job => return Ok(claim.clone()),
                Some(claim) => {
                    let mut extended = claim.outputs.clone();
                    extended.extend(outputs.clone());
                    if extended == claim.outputs {
                        return Ok(claim.clone());
                    }
                    let values = (extended, &table.keyspace, &table.table, job, &claim.outputs);
                    self.apply(EXTEND, values).await
                }
            };
            match outcome {
                // Whether it was this write or another's, what stands is read again.
                Ok(Applied::Yes | Applied::No(_)) => {}
                Err(error) if error.kind == StoreErrorKind::Unknown => {}
                Err(error) => return Err(error),
            }
        }
    }
}
