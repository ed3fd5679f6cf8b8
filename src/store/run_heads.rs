//! `runs`, without the plans: what coverage is told from.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{Store, error::StoreError, runs::counts};
use crate::domain::coverage::Head;

// A frozen collection has one WRITETIME: null where there are no keys, and no keys are read.
const READ: &str = "SELECT run_id, job_revision, versions, scope, token_from, WRITETIME(keys) AS keys_written, target, state, started_at, run_base, source_rows, scored, request_id FROM runs WHERE job = ? LIMIT ?";

#[derive(DeserializeRow)]
struct Row {
    run_id: CqlTimeuuid,
    job_revision: Option<i32>,
    versions: Option<BTreeSet<i32>>,
    scope: Option<String>,
    token_from: Option<i64>,
    keys_written: Option<i64>,
    target: Option<String>,
    state: Option<String>,
    started_at: Option<CqlTimestamp>,
    run_base: Option<i64>,
    source_rows: Option<i64>,
    scored: Option<BTreeMap<i32, i64>>,
    request_id: Option<CqlTimeuuid>,
}

impl Store {
    /// A job's newest runs, by their ids, `limit` of them at most. `fits` says of a revision and a
    /// target whether the job would write the same today.
    pub async fn run_heads(
        &self,
        job: &str,
        limit: i32,
        fits: impl Fn(i32, &str) -> bool,
    ) -> Result<Vec<Head>, StoreError> {
        let rows: Vec<Row> = self.serial_rows(READ, (job, limit)).await?;
        rows.into_iter()
            .map(|row| {
                let state = row.state.as_deref().unwrap_or_default().parse();
                let target = row.target.unwrap_or_default();
                Ok(Head {
                    state: state.map_err(|error: String| StoreError::corrupt(error, READ))?,
                    run_id: row.run_id.into(),
                    versions: row.versions.unwrap_or_default(),
                    whole: row.token_from.is_none() && row.keys_written.is_none(),
                    rewrite: row.scope.as_deref() == Some("all"),
                    fits: fits(row.job_revision.unwrap_or_default(), &target),
                    base: row.run_base,
                    started_at: time(row.started_at),
                    source_rows: row.source_rows.unwrap_or_default().max(0) as u64,
                    scored: counts(row.scored),
                    request_id: row.request_id.map(Uuid::from),
                })
            })
            .collect()
    }
}

fn time(timestamp: Option<CqlTimestamp>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(timestamp?.0)
}
