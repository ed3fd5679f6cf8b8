//! Adds an index for search by similarity to a column that rows are being written into.
//!
//! What such an index cannot hold must never be written: Cassandra logs the write before it refuses it,
//! and a node that crashes then cannot replay its log. Runs reject such vectors, but only if they know of
//! the index. So an index is made in this order: the new revision is written; no run is open; the index is
//! created. A run that opens after the second step reads the first one ([`announced`]). The read of open
//! runs is serial, as their opening is, so that each run is seen, or sees.

use std::collections::BTreeMap;

use crate::{
    domain::job::{
        CompiledJob, OutputColumn,
        manifest::{Manifest, TableName},
        similarity::Similarity,
    },
    store::{Store, driver::error::StoreError, jobs::JobRow},
};

/// Returns whether the job's new index must wait for a run that may not know of it.
///
/// # Errors
/// Errors of Cassandra.
pub async fn waits_for_runs(store: &Store, job: &CompiledJob) -> Result<bool, StoreError> {
    let target = TableName {
        keyspace: job.target.keyspace.clone(),
        table: job.target.table.clone(),
    };
    let Some(live) = store.table(&target).await? else {
        return Ok(false);
    };
    let indexes = store.table_indexes(&target).await?;
    let is_added = |column: &OutputColumn| {
        column
            .index
            .is_some_and(|index| index.similarity().is_some())
            && live.column(&column.name).is_some()
            && !indexes.iter().any(|index| index.column == column.name)
    };
    if !job.target.outputs.iter().any(is_added) {
        return Ok(false);
    }
    let open = store.open_runs(&job.job).await?;
    Ok(open.iter().any(|run| run.run_id.is_some()))
}

/// Returns the functions of the indexes that revisions after this one ask for, by column.
pub fn announced(rows: &[JobRow], revision: i32) -> BTreeMap<String, Similarity> {
    let later = rows.iter().filter(|row| row.revision > Some(revision));
    let manifests = later.filter_map(|row| Manifest::parse(row.manifest.as_deref()?).ok());
    let columns = manifests.flat_map(|manifest| manifest.outputs.columns);
    let indexed = columns.filter_map(|(name, column)| Some((name, column.index?.similarity()?)));
    indexed.collect()
}
