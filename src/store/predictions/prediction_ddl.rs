//! Creates prediction tables: the type of the lineage, the table, later columns, indexes.
//!
//! Missing parts are derived from the live schema, so that nothing has to be repaired after a crash
//! between two statements, or if an administrator ran some of them.

use uuid::Uuid;

use crate::{
    codec::{
        cql_type::Fields,
        schema::{Order, TableIndex, TableSchema},
    },
    domain::{
        job::{CompiledJob, OutputColumn, manifest::TableName},
        names::index_name,
    },
    store::{
        Store,
        admin::release::fit_compaction,
        driver::{
            error::{StoreError, StoreErrorKind},
            quote::{name, table_name},
            script::table_id,
        },
    },
};

/// The type of `lineage`, in each keyspace that has predictions. It is only ever extended.
pub const LINEAGE: &str = "helenus_lineage";

/// The type's fields, in order.
const LINEAGE_FIELDS: [(&str, &str); 8] = [
    ("model_sha256", "blob"),
    ("input_hash", "blob"),
    ("source_hash", "blob"),
    ("run_id", "timeuuid"),
    ("scored_at", "timestamp"),
    ("job_revision", "int"),
    ("arm", "text"),
    ("rejected", "text"),
];

/// Outcome of creating a prediction table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// Everything exists; these statements were run now.
    Ready(Vec<String>),
    /// Helenus lacks the permission: an administrator must run these.
    Denied(Vec<String>),
}

impl Store {
    /// Returns the statements that are still needed before `job` can write; empty if none are.
    pub async fn prediction_ddl(&self, job: &CompiledJob) -> Result<Vec<String>, StoreError> {
        let target = TableName {
            keyspace: job.target.keyspace.clone(),
            table: job.target.table.clone(),
        };
        let types = self.user_types(&target.keyspace).await?;
        let mut statements = lineage_type(&target.keyspace, types.get(LINEAGE));
        let live = self.table(&target).await?;
        match &live {
            None => statements.push(create_table(job, &target.table, Holds::Predictions)),
            Some(live) => statements.extend(add_columns(job, live)),
        }
        let history = job.history_table().map(|name| (name, Holds::History));
        let current = job.current_table().map(|name| (name, Holds::Current));
        for (beside, holds) in history.into_iter().chain(current) {
            match self.table(&beside).await? {
                None => statements.push(create_table(job, &beside.table, holds)),
                Some(live) => statements.extend(add_columns(job, &live)),
            }
        }
        if job
            .target
            .outputs
            .iter()
            .any(|column| column.index.is_some())
        {
            let indexed = match live {
                Some(_) => self.table_indexes(&target).await?,
                None => Vec::new(),
            };
            statements.extend(indexes(job, &indexed));
        }
        if statements.is_empty() {
            return Ok(statements);
        }
        let release = self.release().await?;
        Ok(statements
            .iter()
            .map(|statement| fit_compaction(statement, &release))
            .collect())
    }

    /// Runs what is still needed under the DDL lease, with schema agreement before and after each
    /// statement.
    ///
    /// # Errors
    /// Errors of Cassandra; a missing permission is [`Made::Denied`].
    pub async fn make_prediction_table(&self, job: &CompiledJob) -> Result<Made, StoreError> {
        if self.prediction_ddl(job).await?.is_empty() {
            return Ok(Made::Ready(Vec::new()));
        }
        let ddl = self
            .ddl(|holder| tracing::info!(holder = ?holder.process, "waiting to change the schema"))
            .await?;
        let mut outcome = Ok(Made::Ready(Vec::new()));
        // Read again: another process may have created it while this one waited.
        match self.prediction_ddl(job).await {
            Err(error) => outcome = Err(error),
            Ok(statements) => {
                for (done, statement) in statements.iter().enumerate() {
                    match ddl.run(statement).await {
                        Ok(()) => {}
                        Err(error) if error.kind == StoreErrorKind::Denied => {
                            outcome = Ok(Made::Denied(statements[done..].to_vec()));
                            break;
                        }
                        Err(error) => {
                            outcome = Err(error);
                            break;
                        }
                    }
                }
                if let Ok(Made::Ready(run)) = &mut outcome {
                    *run = statements;
                }
            }
        }
        let released = ddl.release().await;
        let made = outcome?;
        released?;
        Ok(made)
    }
}

/// Returns the id of a prediction table that helenus creates; with it, two processes create one
/// table.
pub fn target_id(target: &TableName) -> Uuid {
    table_id(&target.keyspace, &target.table)
}

fn lineage_type(keyspace: &str, live: Option<&Fields>) -> Vec<String> {
    let type_name = table_name(keyspace, LINEAGE);
    match live {
        None => {
            let fields: Vec<_> = LINEAGE_FIELDS
                .iter()
                .map(|(field, cql_type)| format!("{field} {cql_type}"))
                .collect();
            vec![format!(
                "CREATE TYPE IF NOT EXISTS {type_name} ({})",
                fields.join(", ")
            )]
        }
        Some(live) => LINEAGE_FIELDS
            .iter()
            .filter(|(field, _)| !live.iter().any(|(known, _)| known == field))
            .map(|(field, cql_type)| {
                format!("ALTER TYPE {type_name} ADD IF NOT EXISTS {field} {cql_type}")
            })
            .collect(),
    }
}

/// What a table of a job holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Predictions,
    /// All predictions that were ever made.
    History,
    /// The champion's predictions.
    Current,
}

impl Holds {
    /// Returns helenus's own columns at the end of the key, in descending order.
    fn own_key(self) -> &'static [(&'static str, &'static str)] {
        const KEY: [(&str, &str); 2] = [("model_version", "int"), ("scored_at", "timestamp")];
        match self {
            Self::Predictions => &KEY[..1],
            Self::History => &KEY,
            Self::Current => &[],
        }
    }

    /// Returns helenus's further columns.
    fn own_columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Current => &[("model_version", "int")],
            Self::Predictions | Self::History => &[],
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::History => "history of predictions",
            Self::Current => "current predictions",
        }
    }
}

fn create_table(job: &CompiledJob, table: &str, holds: Holds) -> String {
    let target = &job.target;
    let own = holds.own_key();
    let mut columns: Vec<String> = job
        .key
        .iter()
        .map(|column| format!("{} {}", name(&column.name), column.cql_type))
        .collect();
    columns.extend(
        own.iter()
            .chain(holds.own_columns())
            .map(|(own, cql_type)| format!("{own} {cql_type}")),
    );
    columns.extend(target.outputs.iter().map(definition));
    columns.push(format!("lineage frozen<{LINEAGE}>"));
    let names: Vec<String> = job.key.iter().map(|column| name(&column.name)).collect();
    let (partition, clustering) = names.split_at(job.partition_key_len);
    let own_names: Vec<String> = own.iter().map(|(own, _)| (*own).to_owned()).collect();
    let clustering = [clustering, &own_names].concat();
    let orders: Vec<String> = job.key[job.partition_key_len..]
        .iter()
        .map(|column| {
            let order = job
                .source
                .clustering
                .iter()
                .find(|(clustering, _)| clustering.name == column.name)
                .map_or(Order::Asc, |(_, order)| *order);
            let order = match order {
                Order::Asc => "ASC",
                Order::Desc => "DESC",
            };
            format!("{} {order}", name(&column.name))
        })
        .chain(own_names.iter().map(|own| format!("{own} DESC")))
        .collect();
    let key = format!("({})", partition.join(", "));
    let key = [&[key], &clustering[..]].concat().join(", ");
    let order = match orders.is_empty() {
        true => String::new(),
        false => format!("CLUSTERING ORDER BY ({})\n  AND ", orders.join(", ")),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    {},\n    PRIMARY KEY ({key})\n) WITH {order}compaction = {{'class': 'UnifiedCompactionStrategy'}}\n  AND gc_grace_seconds = 864000\n  AND comment = '{} of helenus job {}'\n  AND id = {}",
        table_name(&target.keyspace, table),
        columns.join(",\n    "),
        holds.describe(),
        job.job,
        table_id(&target.keyspace, table),
    )
}

fn definition(column: &OutputColumn) -> String {
    format!("{} {}", name(&column.name), column.cql_type)
}

fn add_columns(job: &CompiledJob, live: &TableSchema) -> Vec<String> {
    job.target
        .outputs
        .iter()
        .filter(|column| live.column(&column.name).is_none())
        .map(|column| {
            format!(
                "ALTER TABLE {} ADD IF NOT EXISTS {}",
                table_name(&live.keyspace, &live.table),
                definition(column)
            )
        })
        .collect()
}

/// Returns the statements for the indexes on the outputs that have one configured and on
/// `model_version`: with the former alone, Cassandra still refuses the query for one version's best
/// scores or nearest vectors.
fn indexes(job: &CompiledJob, live: &[TableIndex]) -> Vec<String> {
    let target = &job.target;
    let on_outputs = target.outputs.iter().filter_map(|column| {
        let index = column.index?;
        Some((column.name.as_str(), index.similarity()))
    });
    on_outputs
        .chain([("model_version", None)])
        .filter(|(column, _)| !live.iter().any(|index| index.column == *column))
        .map(|(column, similarity)| {
            let options = similarity.map_or_else(String::new, |similarity| {
                let function = similarity.name();
                format!(" WITH OPTIONS = {{'similarity_function': '{function}'}}")
            });
            format!(
                "CREATE INDEX IF NOT EXISTS {} ON {} ({}) USING 'sai'{options}",
                name(&index_name(&target.table, column)),
                table_name(&target.keyspace, &target.table),
                name(column)
            )
        })
        .collect()
}
