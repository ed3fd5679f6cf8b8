//! Reading histories: what was predicted for one key, by which version, when.

use chrono::{DateTime, Utc};

use super::{
    Store,
    error::StoreError,
    quote::table_name,
    raw::{Page, push_cell},
    scan::RangeSelect,
    selects::{
        KeySelect, columns, key_conditions, page_rows, proof_columns, token_range, types,
        version_list,
    },
};
use crate::domain::{job::CompiledJob, manifest::TableName, proof};

/// Rows a page, at most.
const PAGE_ROWS: i32 = 2_500;

/// The history of the job's versions by token range, in the order of source rows: the key,
/// model_version, scored_at, the fields of [`proof::FIELDS`] and the output columns; of each key and
/// version the newest first. It filters a range that is scanned anyway.
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
        page_rows: page_rows(types(&job.key).chain(outputs)).min(PAGE_ROWS),
    }
}

impl Store {
    /// Versions of which the history has a row of that key (in the form of
    /// [`super::raw::RawValues`]).
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

    /// The last prediction that a version had made of that key by a time, as one row of the fields
    /// of [`proof::FIELDS`] and the output columns; or none.
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
