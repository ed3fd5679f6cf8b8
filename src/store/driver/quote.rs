//! Quotes names in CQL text.

/// Quotes a column, table or keyspace name, always: this keeps the exact case, any character and
/// reserved words.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns `"keyspace"."table"`.
pub fn table_name(keyspace: &str, table: &str) -> String {
    format!("{}.{}", name(keyspace), name(table))
}
