//! Creates the whole schema of a new keyspace at once: half as many schema changes as the numbered
//! files.
//!
//! `cql/baseline.cql` contains the result of the numbered files. A record of it is written before
//! the first change, so that a migration that crashed half-way is completed from the same file. Any
//! other keyspace that holds tables was started with the numbered files, of this helenus or an
//! older one, and continues with them: they repair whatever is there.

use chrono::Utc;

use super::migrate::{BOOTSTRAP, LAST, sha256};
use crate::{
    domain::cassandra::Release,
    process,
    store::{
        Store,
        driver::{ddl::Ddl, error::StoreError, script::statements_as_sent},
    },
};

const TEXT: &str = include_str!("../../../cql/baseline.cql");
const BEGUN: &str = "SELECT checksum FROM schema_migrations WHERE bucket = 'baseline'";
const BEGIN: &str = "INSERT INTO schema_migrations (bucket, number, name, checksum, applied_at, applied_by) VALUES ('baseline', ?, 'baseline.cql', ?, ?, ?) IF NOT EXISTS";

/// Returns whether this keyspace, to which no numbered file was applied completely, is new or was
/// started by [`create`] with the same baseline.
pub(in crate::store) async fn fits(store: &Store) -> Result<bool, StoreError> {
    let begun: Vec<(Option<Vec<u8>>,)> = store.serial_rows(BEGUN, ()).await?;
    if let Some((checksum,)) = begun.first() {
        return Ok(begun.len() == 1 && checksum.as_deref() == Some(sha256(TEXT).as_slice()));
    }
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables: Vec<(String,)> = store.rows(tables, (store.keyspace(),)).await?;
    Ok(tables
        .iter()
        .all(|(table,)| BOOTSTRAP.contains(&table.as_str())))
}

/// Creates every table; safe to repeat.
pub(in crate::store) async fn create(
    store: &Store,
    ddl: &Ddl,
    release: &Release,
) -> Result<(), StoreError> {
    let values = (LAST, sha256(TEXT), Utc::now(), process::identity());
    // Refused: an earlier migration started it.
    store.apply(BEGIN, values).await?;
    ddl.run_all(&statements_as_sent(TEXT, store, release)).await
}
