//! Finds the release of the cluster's nodes.

use scylla::{
    client::session::Session,
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    response::query_result::QueryResult,
    statement::Statement,
};

use crate::{
    domain::cassandra::{Release, ServerFeature},
    store::{
        Store,
        driver::{
            error::StoreError,
            statement::{PATIENCE, into_rows, patiently},
        },
    },
};

const LOCAL: &str = "SELECT release_version FROM system.local WHERE key = 'local'";
const PEERS: &str = "SELECT release_version FROM system.peers";

/// What the tables of `cql/` and of predictions name, and what takes its place where the server
/// lacks it. With its default parameters (T4), unified compaction does what the size-tiered strategy
/// does with thresholds of 4, for smaller SSTables. Levels would make reads cheaper, but every run
/// that re-scores a table would rewrite its predictions about ten times.
const UNIFIED: &str = "{'class': 'UnifiedCompactionStrategy'}";
const SIZE_TIERED: &str = "{'class': 'SizeTieredCompactionStrategy'}";

impl Store {
    /// Returns the oldest release of the cluster's nodes: while a cluster is upgraded, what only
    /// some nodes know must not be used. It is asked each time, so that a process that runs through
    /// an upgrade notices its end.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn release(&self) -> Result<Release, StoreError> {
        patiently(PATIENCE, || Box::pin(read(self.session()))).await
    }
}

/// Returns a CREATE TABLE statement as this release understands it.
pub(in crate::store) fn fit_compaction(statement: &str, release: &Release) -> String {
    match release.has(ServerFeature::UnifiedCompaction) {
        true => statement.to_owned(),
        false => statement.replace(UNIFIED, SIZE_TIERED),
    }
}

async fn read(session: &Session) -> Result<Release, StoreError> {
    let local = ask(session, LOCAL, None).await?;
    // A node's peers are all nodes but itself, so the same node must answer both.
    let node = NodeIdentifier::Node(local.request_coordinator().node().clone());
    let peers = ask(session, PEERS, Some(node)).await?;
    let mut oldest: Option<Release> = None;
    for (result, cql) in [(local, LOCAL), (peers, PEERS)] {
        let rows = into_rows(result, cql)?;
        let rows = rows
            .rows::<(Option<String>,)>()
            .map_err(|error| StoreError::corrupt(error.to_string(), cql))?;
        for row in rows {
            let (text,) = row.map_err(|error| StoreError::corrupt(error.to_string(), cql))?;
            // A row of a peer that is joining or gone may have nothing but its address.
            let Some(text) = text else { continue };
            let release = Release::parse(&text).ok_or_else(|| {
                StoreError::corrupt(format!("release_version `{text}` is not understood"), cql)
            })?;
            if oldest.as_ref().is_none_or(|oldest| release < *oldest) {
                oldest = Some(release);
            }
        }
    }
    oldest.ok_or_else(|| StoreError::corrupt("no node says its release", LOCAL))
}

async fn ask(
    session: &Session,
    cql: &str,
    node: Option<NodeIdentifier>,
) -> Result<QueryResult, StoreError> {
    let mut statement = Statement::new(cql);
    statement.set_is_idempotent(true);
    if let Some(node) = node {
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node, None)));
    }
    session
        .query_unpaged(statement, ())
        .await
        .map_err(|error| StoreError::execution(&error, cql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_without_unified_compaction_get_another() {
        let statement = format!("CREATE TABLE t (a int PRIMARY KEY) WITH compaction = {UNIFIED}");
        let on = |release| fit_compaction(&statement, &Release::parse(release).unwrap());
        assert_eq!(on("5.0.9"), statement);
        assert_eq!(
            on("4.1.10"),
            "CREATE TABLE t (a int PRIMARY KEY) WITH compaction = {'class': 'SizeTieredCompactionStrategy'}"
        );
    }
}
