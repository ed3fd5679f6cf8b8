//! Names in CQL text.

/// A column, table or keyspace name, always quoted: exact case, any character, no reserved words.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"keyspace"."table"`.
pub fn table_name(keyspace: &str, table: &str) -> String {
    format!("{}.{}", name(keyspace), name(table))
}
