//! Reads a table beside the source that has the source's key, such as labels.

use super::selects::{columns, types};
use crate::{
    codec::schema::{Column, TableSchema},
    store::driver::{pages::PageRows, quote::table_name, scan::RangeSelect},
};

/// Selects the key's columns and then `wanted` of each row, by token range.
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
        pages: PageRows::for_types(types(&key).chain(types(wanted))),
    }
}
