//! Writing predictions: statements bound as raw bytes, many to an unlogged batch of one replica
//! set.
//!
//! Every write binds every output column and the lineage (equal timestamps resolve per cell, and
//! an unset cell would keep an older run's value), and a retry sends the same bytes again.

use std::sync::{Arc, Mutex, PoisonError};

use scylla::statement::{
    batch::{Batch, BatchType},
    prepared::PreparedStatement,
};

use super::{
    Store,
    ddl::once_visible,
    error::{Failed, StoreError},
    mutations::{Kind, Mutations},
    quote::{name, table_name},
    statement::{Mode, PATIENCE, retried},
};
use crate::domain::job::CompiledJob;

/// Emptied [`Mutations`] that are kept to be filled again; more than are ever in flight are not.
const SPARE: usize = 256;

/// The statements of one prediction table.
#[derive(Clone)]
pub struct PredictionWriter {
    store: Store,
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
    delete: PreparedStatement,
    cql: Arc<str>,
    partition_key_len: usize,
    has_ttl: bool,
    spare: Arc<Mutex<Vec<Mutations>>>,
    /// The last batch of nothing but predictions, for the next one of as many: nearly all are.
    usual: Arc<Mutex<Option<Usual>>>,
}

/// A batch without its values.
#[derive(Clone)]
struct Usual {
    rows: usize,
    timestamp: i64,
    batch: Arc<Batch>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Cassandra has it.
    Acknowledged,
    /// The lease ran out before it was acknowledged: it may be there or not.
    Fenced,
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
        let ttl = job.rules.ttl_seconds;
        let insert = insert_cql(&table, key.iter().cloned(), outputs, ttl);
        let insert_rejected = insert_cql(&table, key.iter().cloned(), std::iter::empty(), ttl);
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
            partition_key_len: job.partition_key_len,
            has_ttl: ttl > 0,
            spare: Arc::default(),
            usual: Arc::default(),
        })
    }
}

fn insert_cql(
    table: &str,
    key: impl Iterator<Item = String>,
    outputs: impl Iterator<Item = String>,
    ttl: i32,
) -> String {
    let columns: Vec<String> = key
        .chain(["model_version".to_owned()])
        .chain(outputs)
        .chain(["lineage".to_owned()])
        .collect();
    let ttl = match ttl {
        0 => String::new(),
        ttl => format!(" USING TTL {ttl}"),
    };
    format!(
        "INSERT INTO {table} ({}) VALUES ({}){ttl}",
        columns.join(", "),
        vec!["?"; columns.len()].join(", ")
    )
}

impl PredictionWriter {
    /// An empty batch whose rows will carry `timestamp`, microseconds.
    pub fn mutations(&self, timestamp: i64) -> Mutations {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mutations = spare
            .pop()
            .unwrap_or_else(|| Mutations::new(self.partition_key_len, self.has_ttl));
        mutations.timestamp = timestamp;
        mutations
    }

    /// Sends the statements as one unlogged batch, and the same bytes again while Cassandra is
    /// away and `may_send` holds: an owner whose lease ran out sends nothing any more.
    ///
    /// The rows should share a replica set: a split does, since splits never cross the ring's cuts.
    pub async fn send(
        &self,
        mut mutations: Mutations,
        may_send: impl Fn() -> bool,
    ) -> Result<Sent, StoreError> {
        let batch = self.batch(&mutations);
        let sent = retried(PATIENCE, || async {
            let place = self.store.writes().enter().await;
            if !may_send() {
                return Ok(Sent::Fenced);
            }
            let request = async {
                let session = self.store.session();
                let sent = session.batch(&batch, &mutations).await;
                sent.map_err(|error| Failed::execution(&error, &self.cql))
            };
            place.send(request).await.map(|_| Sent::Acknowledged)
        })
        .await;
        mutations.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(mutations);
        }
        sent
    }

    /// The statements of these mutations. Their timestamp is the batch's own, except of deletes,
    /// which bind theirs.
    fn batch(&self, mutations: &Mutations) -> Arc<Batch> {
        let (rows, timestamp) = (mutations.rows(), mutations.timestamp);
        let is_usual = mutations.kinds().all(|kind| kind == Kind::Insert);
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(usual)) = (is_usual, usual.as_ref())
            && (usual.rows, usual.timestamp) == (rows, timestamp)
        {
            return Arc::clone(&usual.batch);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for kind in mutations.kinds() {
            batch.append_statement(match kind {
                Kind::Insert => self.insert.clone(),
                Kind::InsertRejected => self.insert_rejected.clone(),
                Kind::Delete => self.delete.clone(),
            });
        }
        batch.set_is_idempotent(true);
        batch.set_timestamp(Some(timestamp));
        let batch = Arc::new(batch);
        if is_usual {
            *usual = Some(Usual {
                rows,
                timestamp,
                batch: Arc::clone(&batch),
            });
        }
        batch
    }
}
