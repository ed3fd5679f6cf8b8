//! `job_targets`: an administrator's allow-list; each row permits one target.

use chrono::{DateTime, Utc};
use scylla::value::CqlTimestamp;

use crate::{
    domain::job::manifest::TableName,
    store::{
        Store,
        driver::{columns::stored, error::StoreError, quote::name},
    },
};

const ALLOW: &str = "INSERT INTO job_targets (source, target_keyspace, allowed_by, allowed_at, note) VALUES (?, ?, ?, ?, ?)";
const REVOKE: &str = "DELETE FROM job_targets WHERE source = ? AND target_keyspace = ?";
const ONE: &str = "SELECT source FROM job_targets WHERE source IN ? AND target_keyspace = ?";

/// A row of `job_targets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTarget {
    /// A keyspace, or `keyspace.table`, by its exact name.
    pub source: String,
    /// The keyspace into which jobs that read the source may write.
    pub target_keyspace: String,
    pub allowed_by: Option<String>,
    pub allowed_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

stored! {
    read struct Row of JobTarget {
        source: String,
        target_keyspace: String,
        allowed_by: Option<String>,
        allowed_at: Option<CqlTimestamp>,
        note: Option<String>,
    }
}

impl Store {
    /// Allows jobs that read `source` to write into `target_keyspace`.
    pub async fn allow_target(
        &self,
        source: &str,
        target_keyspace: &str,
        by: &str,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let values = (source, target_keyspace, by, Utc::now(), note);
        self.write(ALLOW, values).await
    }

    /// Revokes a permission; runs that are planned from now on observe this.
    pub async fn revoke_target(
        &self,
        source: &str,
        target_keyspace: &str,
    ) -> Result<(), StoreError> {
        self.write(REVOKE, (source, target_keyspace)).await
    }

    /// Returns all rows, sorted by source.
    pub async fn job_targets(&self) -> Result<Vec<JobTarget>, StoreError> {
        let mut targets = self.stored::<Row>("FROM job_targets", ()).await?;
        targets
            .sort_by(|a, b| (&a.source, &a.target_keyspace).cmp(&(&b.source, &b.target_keyspace)));
        Ok(targets)
    }

    /// Returns whether a job that reads `source` may write into another keyspace.
    pub async fn may_copy(
        &self,
        source: &TableName,
        target_keyspace: &str,
    ) -> Result<bool, StoreError> {
        let sources = vec![source.keyspace.clone(), source.to_string()];
        let rows: Vec<(String,)> = self.rows(ONE, (sources, target_keyspace)).await?;
        Ok(!rows.is_empty())
    }

    /// Returns the statement with which an administrator allows it.
    pub fn allow_statement(&self, source: &TableName, target_keyspace: &str) -> String {
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        format!(
            "INSERT INTO {}.job_targets (source, target_keyspace, allowed_at) VALUES ({}, {}, toTimestamp(now()))",
            name(self.keyspace()),
            text(&source.to_string()),
            text(target_keyspace)
        )
    }
}
