//! Writing predictions: statements bound as raw bytes, many to an unlogged batch of one replica
//! set, each with its own timestamp.
//!
//! Every write binds every output column and the lineage (equal timestamps resolve per cell, and
//! an unset cell would keep an older run's value), and a retry sends the same bytes again.

use std::sync::Arc;

use scylla::statement::{
    batch::{Batch, BatchType},
    prepared::PreparedStatement,
};

use super::{
    Store,
    ddl::once_visible,
    error::{Failed, StoreError},
    quote::{name, table_name},
    raw::{RawValues, push_cell},
    statement::{Mode, PATIENCE, retried},
};
use crate::domain::job::CompiledJob;

/// Above this many bytes of mutation Cassandra logs a warning for the batch
/// (`batch_size_warn_threshold`: 5 KiB); a little below it, since sizes are estimated.
const BATCH_BYTES: usize = 4_800;
/// What Cassandra counts for a row beside its cells' bytes, measured: a row of 54 bytes on the
/// wire counts 170.
const ROW_OVERHEAD: usize = 96;

/// The statements of one prediction table.
#[derive(Clone)]
pub struct PredictionWriter {
    store: Store,
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
    delete: PreparedStatement,
    cql: Arc<str>,
    ttl: i32,
}

/// Statements gathered for one batch.
#[derive(Debug, Default)]
pub struct Mutations {
    statements: Vec<(Kind, usize)>,
    values: Vec<u8>,
    estimate: usize,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Cassandra has it.
    Acknowledged,
    /// The lease ran out before it was acknowledged: it may be there or not.
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Insert,
    InsertRejected,
    Delete,
}

impl Mutations {
    /// No statement yet.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether another row of about the same size would go beyond the server's threshold.
    pub fn is_full(&self) -> bool {
        let rows = self.statements.len().max(1);
        self.estimate + self.estimate / rows > BATCH_BYTES
    }

    /// A prediction: key cells, version, output cells in the table's order, lineage.
    pub fn insert<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        outputs: impl Iterator<Item = Option<&'a [u8]>>,
        lineage: &[u8],
        timestamp: i64,
        ttl: i32,
    ) {
        let before = self.values.len();
        self.key(key, version);
        outputs.for_each(|cell| push_cell(&mut self.values, cell));
        push_cell(&mut self.values, Some(lineage));
        push_cell(&mut self.values, Some(&timestamp.to_be_bytes()));
        push_cell(&mut self.values, Some(&ttl.to_be_bytes()));
        self.finish(Kind::Insert, before);
    }

    /// A rejection: what stood there is deleted just below `timestamp`, and only the lineage
    /// (with its reason) is written at it.
    pub fn reject<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>> + Clone,
        version: i32,
        lineage: &[u8],
        timestamp: i64,
        ttl: i32,
    ) {
        self.delete(key.clone(), version, timestamp - 1);
        let before = self.values.len();
        self.key(key, version);
        push_cell(&mut self.values, Some(lineage));
        push_cell(&mut self.values, Some(&timestamp.to_be_bytes()));
        push_cell(&mut self.values, Some(&ttl.to_be_bytes()));
        self.finish(Kind::InsertRejected, before);
    }

    /// Deletes a prediction.
    pub fn delete<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        timestamp: i64,
    ) {
        let before = self.values.len();
        push_cell(&mut self.values, Some(&timestamp.to_be_bytes()));
        self.key(key, version);
        self.finish(Kind::Delete, before);
    }

    fn key<'a>(&mut self, key: impl Iterator<Item = Option<&'a [u8]>>, version: i32) {
        key.for_each(|cell| push_cell(&mut self.values, cell));
        push_cell(&mut self.values, Some(&version.to_be_bytes()));
    }

    fn finish(&mut self, kind: Kind, before: usize) {
        self.statements.push((kind, self.values.len()));
        self.estimate += self.values.len() - before + ROW_OVERHEAD;
    }

    /// Rows written or deleted.
    pub fn rows(&self) -> usize {
        self.statements.len()
    }

    fn values(&self) -> Vec<RawValues<'_>> {
        let mut start = 0;
        let row = |&(_, end): &(Kind, usize)| {
            let values = RawValues(&self.values[start..end]);
            start = end;
            values
        };
        self.statements.iter().map(row).collect()
    }
}

impl Store {
    /// Prepares the statements that write `job`'s predictions.
    pub async fn prediction_writer(
        &self,
        job: &CompiledJob,
    ) -> Result<PredictionWriter, StoreError> {
        let table = table_name(&job.target.keyspace, &job.target.table);
        let key: Vec<String> = job.key.iter().map(|column| name(&column.name)).collect();
        let outputs = job.target.outputs.iter().map(|column| name(&column.name));
        let insert = insert_cql(&table, key.iter().cloned(), outputs);
        let insert_rejected = insert_cql(&table, key.iter().cloned(), std::iter::empty());
        let conditions: Vec<String> = key.iter().map(|column| format!("{column} = ?")).collect();
        let delete = format!(
            "DELETE FROM {table} USING TIMESTAMP ? WHERE {} AND model_version = ?",
            conditions.join(" AND ")
        );
        // Another process may have made the table a moment ago.
        let prepare = |cql| once_visible(move || self.prepared(Mode::Write, cql));
        Ok(PredictionWriter {
            store: self.clone(),
            insert: prepare(&insert).await?,
            insert_rejected: prepare(&insert_rejected).await?,
            delete: prepare(&delete).await?,
            cql: insert.into(),
            ttl: job.rules.ttl_seconds,
        })
    }
}

fn insert_cql(
    table: &str,
    key: impl Iterator<Item = String>,
    outputs: impl Iterator<Item = String>,
) -> String {
    let columns: Vec<String> = key
        .chain(["model_version".to_owned()])
        .chain(outputs)
        .chain(["lineage".to_owned()])
        .collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) USING TIMESTAMP ? AND TTL ?",
        columns.join(", "),
        vec!["?"; columns.len()].join(", ")
    )
}

impl PredictionWriter {
    /// TTL of predictions in seconds; 0 is none.
    pub fn ttl(&self) -> i32 {
        self.ttl
    }

    /// Sends the statements as one unlogged batch, and the same bytes again while Cassandra is
    /// away and `may_send` holds: an owner whose lease ran out sends nothing any more.
    ///
    /// The rows should share a replica set: a split does, since splits never cross the ring's cuts.
    pub async fn send(
        &self,
        mutations: &Mutations,
        may_send: impl Fn() -> bool,
    ) -> Result<Sent, StoreError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        for (kind, _) in &mutations.statements {
            batch.append_statement(match kind {
                Kind::Insert => self.insert.clone(),
                Kind::InsertRejected => self.insert_rejected.clone(),
                Kind::Delete => self.delete.clone(),
            });
        }
        batch.set_is_idempotent(true);
        let rows = mutations.values();
        retried(PATIENCE, || async {
            let place = self.store.writes().enter().await;
            if !may_send() {
                return Ok(Sent::Fenced);
            }
            let request = async {
                let session = self.store.session();
                let sent = session.batch(&batch, &rows).await;
                sent.map_err(|error| Failed::execution(&error, &self.cql))
            };
            place.send(request).await.map(|_| Sent::Acknowledged)
        })
        .await
    }
}
