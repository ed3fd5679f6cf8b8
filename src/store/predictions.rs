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
    mutations::{Costs, Kind, Mutations},
    quote::{name, table_name},
    statement::{Mode, PATIENCE, retried},
};
use crate::domain::job::{CompiledJob, HistoryTable};

/// Emptied [`Mutations`] that are kept to be filled again; more than are ever in flight are not.
const SPARE: usize = 256;

/// The statements of one prediction table.
#[derive(Clone)]
pub struct PredictionWriter {
    store: Store,
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
    delete: PreparedStatement,
    history: Option<HistoryStatements>,
    cql: Arc<str>,
    costs: Costs,
    spare: Arc<Mutex<Vec<Mutations>>>,
    /// The last batch of nothing but predictions, for the next one of as many: nearly all are.
    usual: Arc<Mutex<Option<Usual>>>,
}

#[derive(Clone)]
struct HistoryStatements {
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
}

/// A batch without its values.
#[derive(Clone)]
struct Usual {
    statements: usize,
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
        let history = job.target.history.as_ref();
        let history = history.map(|history| history_cql(job, history));
        let conditions: Vec<String> = key.iter().map(|column| format!("{column} = ?")).collect();
        let delete = format!(
            "DELETE FROM {table} USING TIMESTAMP ? WHERE {} AND model_version = ?",
            conditions.join(" AND ")
        );
        // Another process may have made the table a moment ago.
        let prepare = |cql| once_visible(move || self.prepared(Mode::Write, cql));
        let history = match &history {
            None => None,
            Some([insert, insert_rejected]) => Some(HistoryStatements {
                insert: prepare(insert).await?,
                insert_rejected: prepare(insert_rejected).await?,
            }),
        };
        Ok(PredictionWriter {
            store: self.clone(),
            insert: prepare(&insert).await?,
            insert_rejected: prepare(&insert_rejected).await?,
            delete: prepare(&delete).await?,
            cql: insert.into(),
            history,
            costs: Costs::of(job),
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
    format!(
        "INSERT INTO {table} ({}) VALUES ({}){}",
        columns.join(", "),
        vec!["?"; columns.len()].join(", "),
        using_ttl(ttl)
    )
}

fn using_ttl(seconds: i32) -> String {
    match seconds {
        0 => String::new(),
        seconds => format!(" USING TTL {seconds}"),
    }
}

/// A prediction's and a rejection's statements: their markers are those of the prediction table's,
/// then `scored_at`. A rejection's outputs are written as null: under the same key and time there
/// may be a prediction, of a run that the model did not refuse.
fn history_cql(job: &CompiledJob, history: &HistoryTable) -> [String; 2] {
    let key: Vec<String> = job.key.iter().map(|column| name(&column.name)).collect();
    let outputs = job.target.outputs.iter().map(|column| name(&column.name));
    let outputs: Vec<String> = outputs.collect();
    [false, true].map(|rejected| {
        let markers = |count| vec!["?"; count];
        let values = [
            markers(key.len() + 1),
            vec![if rejected { "null" } else { "?" }; outputs.len()],
            markers(2),
        ];
        format!(
            "INSERT INTO {} ({}) VALUES ({}){}",
            table_name(&job.target.keyspace, &history.table),
            [
                &key[..],
                &["model_version".to_owned()],
                &outputs,
                &["lineage".to_owned(), "scored_at".to_owned()]
            ]
            .concat()
            .join(", "),
            values.concat().join(", "),
            using_ttl(history.ttl_seconds)
        )
    })
}

impl PredictionWriter {
    /// An empty batch whose rows will carry `timestamp`, microseconds.
    pub fn mutations(&self, timestamp: i64) -> Mutations {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mutations = spare.pop().unwrap_or_else(|| Mutations::new(self.costs));
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
        let (statements, timestamp) = (mutations.statements(), mutations.timestamp);
        // Each prediction with its row of the history, if there is one.
        let usual = [Kind::Insert, Kind::History];
        let is_usual = mutations.kinds().all(|kind| usual.contains(&kind));
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(usual)) = (is_usual, usual.as_ref())
            && (usual.statements, usual.timestamp) == (statements, timestamp)
        {
            return Arc::clone(&usual.batch);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for kind in mutations.kinds() {
            let history = self.history.as_ref();
            let statement = match kind {
                Kind::Insert => Some(&self.insert),
                Kind::InsertRejected => Some(&self.insert_rejected),
                Kind::Delete => Some(&self.delete),
                Kind::History => history.map(|history| &history.insert),
                Kind::HistoryRejected => history.map(|history| &history.insert_rejected),
            };
            // Nobody remembers a row where there is no history.
            if let Some(statement) = statement {
                batch.append_statement(statement.clone());
            }
        }
        batch.set_is_idempotent(true);
        batch.set_timestamp(Some(timestamp));
        let batch = Arc::new(batch);
        if is_usual {
            *usual = Some(Usual {
                statements,
                timestamp,
                batch: Arc::clone(&batch),
            });
        }
        batch
    }
}
