//! Cassandra queries for `doctor`.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use scylla::{
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::Statement,
    value::CqlTimeuuid,
};
use uuid::Uuid;

use crate::{
    domain::run::run_id,
    store::{
        Store,
        driver::{
            error::{StoreError, StoreErrorKind},
            statement::into_rows,
        },
    },
};

/// A node, as the driver and the node itself describe it.
#[derive(Debug, Clone)]
pub struct Node {
    pub address: String,
    pub datacenter: Option<String>,
    /// The node's answer; `None` if it cannot be reached.
    pub answer: Option<NodeAnswer>,
}

/// What a node reports about itself.
#[derive(Debug, Clone)]
pub struct NodeAnswer {
    pub version: String,
    /// The node's clock minus this machine's, in milliseconds, with an error of up to `within_ms`.
    pub clock_ms: i64,
    /// Half of the time that the request took.
    pub within_ms: i64,
}

/// Who writes a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Users, with any client.
    People,
    Worker,
    Administrator,
}

/// Each table of helenus with a conditional write on it that never takes place: enough to find out
/// whether this login may read and write it.
const PROBES: &[(&str, Writer, &str)] = &[
    (
        "model_chunks",
        Writer::People,
        "UPDATE model_chunks SET checksum = 0x00 WHERE sha256 = 0x00 AND chunk = -1 IF data = 0x00",
    ),
    (
        "model_versions",
        Writer::People,
        "UPDATE model_versions SET note = '' WHERE name = '-' AND version = -1 IF format = ''",
    ),
    (
        "jobs",
        Writer::People,
        "UPDATE jobs SET note = '' WHERE job = '-' AND revision = -1 IF manifest = ''",
    ),
    (
        "run_requests",
        Writer::People,
        "UPDATE run_requests SET note = '' WHERE day = '1970-01-01' AND id = 00000000-0000-1000-8000-000000000000 IF job = ''",
    ),
    (
        "alias_requests",
        Writer::People,
        "UPDATE alias_requests SET why = '' WHERE day = '1970-01-01' AND id = 00000000-0000-1000-8000-000000000000 IF model = ''",
    ),
    (
        "triggers",
        Writer::People,
        "UPDATE triggers SET note = '' WHERE job = '-' AND name = '-' IF cron = ''",
    ),
    (
        "changed_keys",
        Writer::People,
        "UPDATE changed_keys SET key = {'-': '-'} WHERE job = '-' AND day = '1970-01-01' AND at = 00000000-0000-1000-8000-000000000000 IF key = {'-': ''}",
    ),
    (
        "job_targets",
        Writer::Administrator,
        "UPDATE job_targets SET note = '' WHERE source = '-' AND target_keyspace = '-' IF allowed_by = '-'",
    ),
    (
        "workers",
        Writer::Worker,
        "UPDATE workers SET beat = 0 WHERE bucket = '-' AND worker = 00000000-0000-1000-8000-000000000000 IF beat = -1",
    ),
    (
        "signals",
        Writer::Worker,
        "DELETE FROM signals WHERE name = '-' IF EXISTS",
    ),
    (
        "trigger_status",
        Writer::Worker,
        "UPDATE trigger_status SET last_reason = '' WHERE job = '-' AND name = '-' IF state = '-'",
    ),
    (
        "settings",
        Writer::Administrator,
        "UPDATE settings SET updated_at = 0 WHERE id = '-' IF schema_version = -1",
    ),
    (
        "leases",
        Writer::Worker,
        "UPDATE leases SET beat = 0 WHERE name = '-' IF epoch = -1",
    ),
    (
        "admissions",
        Writer::Worker,
        "UPDATE admissions SET reason = '' WHERE name = '-' AND version = -1 IF state = ''",
    ),
    (
        "names",
        Writer::Worker,
        "DELETE FROM names WHERE kind = '-' AND name = '-' IF EXISTS",
    ),
    (
        "model_aliases",
        Writer::Worker,
        "UPDATE model_aliases SET version = -1 WHERE model = '-' AND alias = '-' IF last_seq = -1",
    ),
    (
        "job_status",
        Writer::Worker,
        "UPDATE job_status SET model = '' WHERE job = '-' AND revision = -1 IF state = ''",
    ),
    (
        "prediction_tables",
        Writer::Worker,
        "UPDATE prediction_tables SET claimed_at = 0 WHERE keyspace_name = '-' AND table_name = '-' IF job = ''",
    ),
    (
        "answers",
        Writer::Worker,
        "UPDATE answers SET reason = '' WHERE day = '1970-01-01' AND id = 00000000-0000-1000-8000-000000000000 IF answer = ''",
    ),
    (
        "open_runs",
        Writer::Worker,
        "UPDATE open_runs SET last_base = 0 WHERE job = '-' AND version = -1 IF run_id = 00000000-0000-1000-8000-000000000000",
    ),
    (
        "runs",
        Writer::Worker,
        "UPDATE runs SET reason = '' WHERE job = '-' AND run_id = 00000000-0000-1000-8000-000000000000 IF state = ''",
    ),
    (
        "splits",
        Writer::Worker,
        "UPDATE splits SET error = '' WHERE job = '-' AND run_id = 00000000-0000-1000-8000-000000000000 AND split = -1 IF state = ''",
    ),
    (
        "rejected_rows",
        Writer::Worker,
        "UPDATE rejected_rows SET reason = '' WHERE job = '-' AND run_id = 00000000-0000-1000-8000-000000000000 AND model_version = -1 AND entity = '-' IF reason = '-'",
    ),
];

/// What this login may do with one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    pub table: &'static str,
    /// Who writes the table.
    pub writer: Writer,
    /// Whether this login may read it.
    pub reads: bool,
    /// Whether this login may write it.
    pub writes: bool,
}

#[derive(Debug, Clone)]
pub struct Keyspace {
    /// As `system_schema` spells it.
    pub replication: BTreeMap<String, String>,
    /// Whether writes go through the commit log.
    pub durable_writes: bool,
}

impl Store {
    /// Returns all nodes, each with its version and its clock.
    pub async fn nodes(&self) -> Vec<Node> {
        let state = self.session().get_cluster_state();
        let mut nodes = Vec::new();
        for node in state.get_nodes_info() {
            let answer = self.ask_node(NodeIdentifier::Node(node.clone())).await;
            if let Err(error) = &answer {
                tracing::debug!(%error, address = %node.address, "no answer");
            }
            nodes.push(Node {
                address: node.address.to_string(),
                datacenter: node.datacenter.clone(),
                answer: answer.ok(),
            });
        }
        nodes
    }

    async fn ask_node(&self, node: NodeIdentifier) -> Result<NodeAnswer, StoreError> {
        const ASK: &str = "SELECT release_version, now() FROM system.local";
        let mut statement = Statement::new(ASK);
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node, None)));
        statement.set_request_timeout(Some(Duration::from_secs(5)));
        let asked = Utc::now();
        let result = self
            .session()
            .query_unpaged(statement, ())
            .await
            .map_err(|error| StoreError::execution(&error, ASK))?;
        let answered = Utc::now();
        let (version, now) = into_rows(result, ASK)?
            .single_row::<(String, CqlTimeuuid)>()
            .map_err(|error| StoreError::corrupt(error.to_string(), ASK))?;
        let theirs = run_id::time_100ns(Uuid::from(now)).unwrap_or(0) / 10_000;
        let took = (answered - asked).num_milliseconds().max(0);
        let ours = asked.timestamp_millis() + took / 2;
        Ok(NodeAnswer {
            version,
            clock_ms: i64::try_from(theirs).unwrap_or(i64::MAX) - ours,
            within_ms: took / 2 + 1,
        })
    }

    /// Returns what this login may do with each of helenus's tables.
    pub async fn permissions(&self) -> Result<Vec<Permission>, StoreError> {
        let mut found = Vec::new();
        for (table, writer, probe) in PROBES {
            let select = format!("SELECT * FROM {table} LIMIT 1");
            let reads = permitted(
                self.session()
                    .query_unpaged(select.as_str(), ())
                    .await
                    .map_err(|error| StoreError::execution(&error, &select)),
            )?;
            let writes = permitted(self.apply(probe, ()).await)?;
            found.push(Permission {
                table,
                writer: *writer,
                reads,
                writes,
            });
        }
        Ok(found)
    }

    /// Returns the current state of helenus's keyspace.
    pub async fn keyspace_as_it_stands(&self) -> Result<Option<Keyspace>, StoreError> {
        let row = self
            .row::<(BTreeMap<String, String>, bool)>(
                "SELECT replication, durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?",
                (self.keyspace(),),
            )
            .await?;
        Ok(row.map(|(replication, durable_writes)| Keyspace {
            replication,
            durable_writes,
        }))
    }

    /// Returns helenus's tables and their gc_grace in seconds.
    pub async fn gc_grace(&self) -> Result<Vec<(String, i32)>, StoreError> {
        self.rows(
            "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ?",
            (self.keyspace(),),
        )
        .await
    }

    /// Returns the settings of the connected node that limit vectors and indexes.
    pub async fn guardrails(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let settings: Vec<(String, Option<String>)> = self
            .rows("SELECT name, value FROM system_views.settings", ())
            .await?;
        let of_vectors = |name: &str| name.starts_with("vector_") || name.starts_with("secondary_");
        let settings = settings.into_iter().filter(|(name, _)| of_vectors(name));
        Ok(settings
            .filter_map(|(name, value)| Some((name, value?)))
            .collect())
    }

    /// Returns when a table was last repaired successfully, as far as Cassandra still knows (it
    /// forgets after a month). `Err` of kind Denied: this login is not permitted to know.
    pub async fn last_repair(&self, table: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let rows: Vec<(Option<String>, Option<DateTime<Utc>>)> = self
            .rows(
                "SELECT status, finished_at FROM system_distributed.repair_history WHERE keyspace_name = ? AND columnfamily_name = ?",
                (self.keyspace(), table),
            )
            .await?;
        Ok(rows
            .into_iter()
            .filter(|(status, _)| status.as_deref() == Some("SUCCESS"))
            .filter_map(|(_, at)| at)
            .max())
    }
}

fn permitted<T>(outcome: Result<T, StoreError>) -> Result<bool, StoreError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.kind == StoreErrorKind::Denied => Ok(false),
        Err(error) => Err(error),
    }
}
