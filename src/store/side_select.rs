//! A table beside the source that has the source's key: labels, for one.

use super::{
    quote::table_name,
    scan::RangeSelect,
    selects::{columns, page_rows, types},
};
use crate::domain::schema::{Column, TableSchema};

/// The key's columns and then `wanted` of each row, by token range.
pub fn side_range(table: &TableSchema, wanted: &[Column]) -> RangeSelect {
    let key: Vec<Column> = table.key().cloned().collect();
    let token = format!("token({})", columns(table.partition_key.iter()));
    RangeSelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {token} > ? AND {token} <= ?",
            columns(key.iter().chain(wanted)),
            table_name(&table.keyspace, &table.table),
        ),
        more_values: Vec::new(),
        partition_key_len: table.partition_key.len(),
        key_len: key.len(),
        page_rows: page_rows(types(&key).chain(types(wanted))),
    }
}
