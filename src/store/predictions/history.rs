//! Reads histories: what was predicted for one key, by which version, when.

use chrono::{DateTime, Utc};

use super::selects::{
    KeySelect, columns, key_conditions, proof_columns, token_range, types, version_list,
};
use crate::{
    domain::{
        job::{CompiledJob, manifest::TableName},
        model::proof,
    },
    store::{
        Store,
        driver::{
            error::StoreError,
            pages::PageRows,
            quote::table_name,
            raw::{Page, push_cell},
            scan::RangeSelect,
        },
    },
};

/// Largest number of rows per page.
const PAGE_ROWS: i32 = 2_500;

/// Selects the history of the job's versions by token range, in the order of source rows: the key,
/// model_version, scored_at, the fields of [`proof::FIELDS`] and the output columns; newest first
/// for each key and version. It filters a range that is scanned anyway.
pub fn history_range(job: &CompiledJob, history: &TableName) -> RangeSelect {
    let mut more_values = Vec::new();
    push_cell(&mut more_values, Some(&version_list(job)));
    let outputs = job.target.outputs.iter().map(|column| &column.cql_type);
    RangeSelect {
        cql: format!(
            "SELECT {}, model_version, scored_at, {} FROM {} WHERE {} AND model_version IN ? ALLOW FILTERING",
            columns(job.key.iter()),
            proof_columns(job, &proof::FIELDS),
            table_name(&history.keyspace, &history.table),
            token_range(job),
        ),
        more_values,
        partition_key_len: job.partition_key_len,
        key_len: job.key.len() + 2,
        pages: PageRows::for_types(types(&job.key).chain(outputs)).at_most(PAGE_ROWS),
    }
}

impl Store {
    /// Returns the versions that have a row of that key in the history (key in the form of
    /// [`crate::store::driver::raw::RawValues`]).
    pub async fn history_versions(
        &self,
        job: &CompiledJob,
        history: &TableName,
        key: &[u8],
    ) -> Result<Vec<i32>, StoreError> {
        let select = KeySelect {
            cql: format!(
                "SELECT model_version FROM {} WHERE {} GROUP BY {}, model_version",
                table_name(&history.keyspace, &history.table),
                key_conditions(job),
                columns(job.key.iter()),
            ),
            more_values: Vec::new(),
        };
        let page = self.by_key(&select, key).await?;
        let version = |row| Some(i32::from_be_bytes(page.cell(row, 0)?.try_into().ok()?));
        Ok((0..page.rows()).filter_map(version).collect())
    }

    /// Returns the last prediction of that key that a version had made by a time, as one row of the
    /// fields of [`proof::FIELDS`] and the output columns, or no row.
    pub async fn history_at(
        &self,
        job: &CompiledJob,
        history: &TableName,
        key: &[u8],
        version: i32,
        at: DateTime<Utc>,
    ) -> Result<Page, StoreError> {
        let mut more_values = Vec::new();
        push_cell(&mut more_values, Some(&version.to_be_bytes()));
        push_cell(&mut more_values, Some(&at.timestamp_millis().to_be_bytes()));
        let select = KeySelect {
            cql: format!(
                "SELECT {} FROM {} WHERE {} AND model_version = ? AND scored_at <= ? LIMIT 1",
                proof_columns(job, &proof::FIELDS),
                table_name(&history.keyspace, &history.table),
                key_conditions(job),
            ),
            more_values,
        };
        self.by_key(&select, key).await
    }
}
