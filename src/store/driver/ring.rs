//! Reads where replica sets change, and the approximate size of a table.

use scylla::{cluster::metadata::Strategy, routing::Token};

use super::error::StoreError;
use crate::store::Store;

const ESTIMATE: &str =
    "SELECT partitions_count FROM system.size_estimates WHERE keyspace_name = ? AND table_name = ?";

impl Store {
    /// Returns the tokens at which the replicas of a keyspace's rows change. Splits that end there
    /// hold rows of one replica set each, so their batches stay within it. Empty for a keyspace
    /// that the driver does not know: batches are then only less local.
    pub fn replica_cuts(&self, keyspace: &str) -> Vec<i64> {
        let cluster = self.session().get_cluster_state();
        let Some(keyspace) = cluster.get_keyspace(keyspace) else {
            return Vec::new();
        };
        let locator = cluster.replica_locator();
        let strategy: &Strategy = &keyspace.strategy;
        let replicas = |token: Token| {
            let table = scylla::frame::response::result::TableSpec::borrowed("", "");
            let mut hosts: Vec<_> = locator
                .replicas_for_token(token, strategy, None, &table)
                .into_iter()
                .map(|(node, _)| node.host_id)
                .collect();
            hosts.sort_unstable();
            hosts
        };
        let mut tokens: Vec<Token> = locator.ring().iter().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        // A ring token ends the range of its own replicas.
        tokens
            .windows(2)
            .filter(|pair| replicas(pair[0]) != replicas(pair[1]))
            .map(|pair| pair[0].value())
            .collect()
    }

    /// Returns the approximate number of partitions of a table, or `None` if Cassandra has no
    /// estimate. Each node makes the estimate every few minutes for its own share: it is a hint
    /// that must not be relied on.
    pub async fn estimated_partitions(
        &self,
        keyspace: &str,
        table: &str,
    ) -> Result<Option<u64>, StoreError> {
        let rows: Vec<(i64,)> = self.rows(ESTIMATE, (keyspace, table)).await?;
        let nodes = self.session().get_cluster_state().get_nodes_info().len() as u64;
        let own = rows.iter().fold(0_u64, |sum, (count,)| {
            sum.saturating_add((*count).max(0) as u64)
        });
        Ok((own > 0).then(|| own.saturating_mul(nodes.max(1))))
    }
}
