//! Writes predictions: statements bound as raw bytes, many in an unlogged batch for one replica
//! set.
//!
//! Every write binds every output column and the lineage: equal timestamps resolve per cell, and an
//! unset cell would keep an older run's value. A retry sends the same bytes again.

pub mod current_tables;
pub mod export_select;
pub mod forget;
pub mod forget_requests;
pub mod history;
pub mod mutation_costs;
pub mod mutations;
pub mod nearest;
pub mod prediction_ddl;
pub mod prediction_tables;
pub mod selects;
pub mod side_select;

use std::sync::{Arc, Mutex, PoisonError};

use scylla::statement::{
    batch::{Batch, BatchType},
    prepared::PreparedStatement,
};

use super::Store;
use crate::{
    domain::job::{CompiledJob, HistoryTable},
    store::{
        driver::{
            ddl::once_visible,
            error::{Failed, StoreError},
            quote::{name, table_name},
            statement::{Mode, PATIENCE, retried},
        },
        predictions::{
            mutation_costs::Costs,
            mutations::{MutationKind, Mutations},
        },
    },
};

/// Largest number of emptied [`Mutations`] that are kept for reuse; more are never in flight.
const SPARE: usize = 256;

/// The statements of one prediction table.
#[derive(Clone)]
pub struct PredictionWriter {
    store: Store,
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
    delete: PreparedStatement,
    history: Option<Beside>,
    current: Option<Current>,
    cql: Arc<str>,
    costs: Costs,
    spare: Arc<Mutex<Vec<Mutations>>>,
    /// The last batch, reused if the next one has the same statements, as nearly all have.
    usual: Arc<Mutex<Option<Usual>>>,
}

/// Statements of a table beside the prediction table.
#[derive(Clone)]
struct Beside {
    insert: PreparedStatement,
    insert_rejected: PreparedStatement,
}

#[derive(Clone)]
struct Current {
    inserts: Beside,
    delete: PreparedStatement,
}

/// A batch without its values.
#[derive(Clone)]
struct Usual {
    kinds: Vec<MutationKind>,
    timestamp: i64,
    batch: Arc<Batch>,
}

/// Outcome of sending a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Cassandra acknowledged it.
    Acknowledged,
    /// The lease ran out before it was acknowledged: it may or may not have been applied.
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
        let history = match &job.target.history {
            None => None,
            Some(history) => Some(self.beside(&history_cql(job, history)).await?),
        };
        let current = match &job.target.current {
            None => None,
            Some(current) => {
                let delete = format!(
                    "DELETE FROM {} USING TIMESTAMP ? WHERE {}",
                    table_name(&job.target.keyspace, current),
                    conditions.join(" AND ")
                );
                Some(Current {
                    inserts: self.beside(&current_cql(job, current)).await?,
                    delete: self.visible(&delete).await?,
                })
            }
        };
        Ok(PredictionWriter {
            store: self.clone(),
            insert: self.visible(&insert).await?,
            insert_rejected: self.visible(&insert_rejected).await?,
            delete: self.visible(&delete).await?,
            cql: insert.into(),
            history,
            current,
            costs: Costs::for_job(job),
            spare: Arc::default(),
            usual: Arc::default(),
        })
    }

    async fn beside(&self, [insert, rejected]: &[String; 2]) -> Result<Beside, StoreError> {
        Ok(Beside {
            insert: self.visible(insert).await?,
            insert_rejected: self.visible(rejected).await?,
        })
    }

    /// Prepares a statement; another process may have created the table only a moment ago.
    async fn visible(&self, cql: &str) -> Result<PreparedStatement, StoreError> {
        let prepared = once_visible(move || self.prepared(Mode::Write, cql)).await?;
        Ok(PreparedStatement::clone(&prepared))
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

/// Returns the statements for a prediction and a rejection. Their markers are those of the
/// prediction table's, then `scored_at`. A rejection's outputs are written as null: under the same
/// key and time there may be a prediction, of a run that the model did not refuse.
fn history_cql(job: &CompiledJob, history: &HistoryTable) -> [String; 2] {
    beside_cql(
        job,
        &history.table,
        &["scored_at"],
        &using_ttl(history.ttl_seconds),
    )
}

/// As the history's; then the TTL, if there is one: a copy lives as long as its original.
fn current_cql(job: &CompiledJob, current: &str) -> [String; 2] {
    let using_ttl = match job.rules.ttl_seconds {
        0 => "",
        _ => " USING TTL ?",
    };
    beside_cql(job, current, &[], using_ttl)
}

fn beside_cql(job: &CompiledJob, table: &str, more: &[&str], using_ttl: &str) -> [String; 2] {
    let key: Vec<String> = job.key.iter().map(|column| name(&column.name)).collect();
    let outputs = job.target.outputs.iter().map(|column| name(&column.name));
    let outputs: Vec<String> = outputs.collect();
    [false, true].map(|rejected| {
        let markers = |count| vec!["?"; count];
        let values = [
            markers(key.len() + 1),
            vec![if rejected { "null" } else { "?" }; outputs.len()],
            markers(1 + more.len()),
        ];
        let columns = key.iter().map(String::as_str);
        let columns = columns.chain(["model_version"]);
        let columns = columns.chain(outputs.iter().map(String::as_str));
        let columns: Vec<&str> = columns
            .chain(["lineage"])
            .chain(more.iter().copied())
            .collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}){using_ttl}",
            table_name(&job.target.keyspace, table),
            columns.join(", "),
            values.concat().join(", "),
        )
    })
}

impl PredictionWriter {
    /// Returns an empty batch whose rows will carry `timestamp`, in microseconds.
    pub fn mutations(&self, timestamp: i64) -> Mutations {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mutations = spare.pop().unwrap_or_else(|| Mutations::new(self.costs));
        mutations.timestamp = timestamp;
        mutations
    }

    /// Sends the statements as one unlogged batch, and the same bytes again while Cassandra is
    /// unavailable and `may_send` holds: an owner whose lease ran out stops sending.
    ///
    /// The rows should share a replica set; those of a split do, since splits never cross the
    /// ring's cuts.
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
        if spare.len() < SPARE && mutations.is_small() {
            spare.push(mutations);
        }
        sent
    }

    /// Returns the statements of these mutations. They carry the batch's timestamp, except deletes,
    /// which bind their own.
    fn batch(&self, mutations: &Mutations) -> Arc<Batch> {
        let timestamp = mutations.timestamp;
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usual) = usual.as_ref()
            && usual.timestamp == timestamp
            && mutations.kinds().eq(usual.kinds.iter().copied())
        {
            return Arc::clone(&usual.batch);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for kind in mutations.kinds() {
            let (history, current) = (self.history.as_ref(), self.current.as_ref());
            let statement = match kind {
                MutationKind::Insert => Some(&self.insert),
                MutationKind::InsertRejected => Some(&self.insert_rejected),
                MutationKind::Delete => Some(&self.delete),
                MutationKind::History => history.map(|history| &history.insert),
                MutationKind::HistoryRejected => history.map(|history| &history.insert_rejected),
                MutationKind::Current => current.map(|current| &current.inserts.insert),
                MutationKind::CurrentRejected => {
                    current.map(|current| &current.inserts.insert_rejected)
                }
                MutationKind::CurrentDelete => current.map(|current| &current.delete),
            };
            // No row is ever added for a table that does not exist.
            if let Some(statement) = statement {
                batch.append_statement(statement.clone());
            }
        }
        batch.set_is_idempotent(true);
        batch.set_timestamp(Some(timestamp));
        let batch = Arc::new(batch);
        *usual = Some(Usual {
            kinds: mutations.kinds().collect(),
            timestamp,
            batch: Arc::clone(&batch),
        });
        batch
    }
}
