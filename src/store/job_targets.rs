//! `job_targets`: an administrator's allow-list. A row that stands allows.

use chrono::{DateTime, Utc};
use scylla::value::CqlTimestamp;

use super::{Store, error::StoreError, quote::name};
use crate::domain::manifest::TableName;

const ALLOW: &str = "INSERT INTO job_targets (source, target_keyspace, allowed_by, allowed_at, note) VALUES (?, ?, ?, ?, ?)";
const REVOKE: &str = "DELETE FROM job_targets WHERE source = ? AND target_keyspace = ?";
const ALL: &str = "SELECT source, target_keyspace, allowed_by, allowed_at, note FROM job_targets";
const ONE: &str = "SELECT source FROM job_targets WHERE source IN ? AND target_keyspace = ?";

/// A row of `job_targets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTarget {
    /// A keyspace, or `keyspace.table`, by its exact name.
    pub source: String,
    /// Jobs that read it may write here.
    pub target_keyspace: String,
    /// Who allowed it.
    pub allowed_by: Option<String>,
    /// When.
    pub allowed_at: Option<DateTime<Utc>>,
    /// Why.
    pub note: Option<String>,
}

impl Store {
    /// Allows.
    pub async fn allow_target(
        &self,
        source: &str,
        target_keyspace: &str,
        by: &str,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let at = CqlTimestamp(Utc::now().timestamp_millis());
        self.write(ALLOW, (source, target_keyspace, by, at, note))
            .await
    }

    /// Takes a row back; runs that are planned from now on heed it.
    pub async fn revoke_target(
        &self,
        source: &str,
        target_keyspace: &str,
    ) -> Result<(), StoreError> {
        self.write(REVOKE, (source, target_keyspace)).await
    }

    /// All rows, by source.
    pub async fn job_targets(&self) -> Result<Vec<JobTarget>, StoreError> {
        type Row = (
            String,
            String,
            Option<String>,
            Option<CqlTimestamp>,
            Option<String>,
        );
        let rows: Vec<Row> = self.rows(ALL, ()).await?;
        let mut targets: Vec<JobTarget> = rows
            .into_iter()
            .map(
                |(source, target_keyspace, allowed_by, allowed_at, note)| JobTarget {
                    source,
                    target_keyspace,
                    allowed_by,
                    allowed_at: allowed_at.and_then(|at| DateTime::from_timestamp_millis(at.0)),
                    note,
                },
            )
            .collect();
        targets
            .sort_by(|a, b| (&a.source, &a.target_keyspace).cmp(&(&b.source, &b.target_keyspace)));
        Ok(targets)
    }

    /// Whether a job that reads `source` may write into another keyspace.
    pub async fn may_copy(
        &self,
        source: &TableName,
        target_keyspace: &str,
    ) -> Result<bool, StoreError> {
        let sources = vec![source.keyspace.clone(), source.to_string()];
        let rows: Vec<(String,)> = self.rows(ONE, (sources, target_keyspace)).await?;
        Ok(!rows.is_empty())
    }

    /// The statement with which an administrator allows it.
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
