//! Where replica sets change, and how large a table is about.

use scylla::{cluster::metadata::Strategy, routing::Token};

use super::{Store, error::StoreError};

const ESTIMATE: &str =
    "SELECT partitions_count FROM system.size_estimates WHERE keyspace_name = ? AND table_name = ?";

impl Store {
    /// Tokens at which the replicas of a keyspace's rows change: splits that end there hold rows of
    /// one replica set each, so that their batches stay with one. Empty for a keyspace that the
    /// driver does not know: then batches are only less local.
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

    /// About how many partitions a table has; `None` when Cassandra has no estimate. It is made
    /// every few minutes, by each node for its own share: a hint, never to be relied on.
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
