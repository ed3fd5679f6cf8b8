//! `drift`: what runs found about each feature and output.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{insert, stored},
        error::StoreError,
    },
};

/// Rows written at a time.
const AT_A_TIME: usize = 16;

const NEWEST: &str = "SELECT run_id FROM drift WHERE job = ? LIMIT 1";

/// A row of `drift`; the schema describes the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftRow {
    pub job: String,
    pub run_id: Uuid,
    pub version: i32,
    pub feature: String,
    /// `reference` or `previous`.
    pub against: String,
    /// Empty: all rows.
    pub segment: String,
    pub verdict: String,
    pub cause: Option<String>,
    pub threshold: Option<f64>,
    pub critical_value: Option<f64>,
    pub p: Option<f64>,
    pub adjusted_p: Option<f64>,
    pub psi: Option<f64>,
    pub js: Option<f64>,
    pub w1: Option<f64>,
    pub ks: Option<f64>,
    pub linf: Option<f64>,
    pub null_delta: Option<f64>,
    pub nan_delta: Option<f64>,
    pub new_category_share: Option<f64>,
    pub n: i64,
    pub m: i64,
    pub other_run: Option<Uuid>,
    pub measured_at: DateTime<Utc>,
}

stored! {
    read write struct Row of DriftRow {
        job: String,
        run_id: CqlTimeuuid,
        version: i32,
        feature: String,
        against: String,
        segment: String,
        verdict: String,
        cause: Option<String>,
        threshold: Option<f64>,
        critical_value: Option<f64>,
        p: Option<f64>,
        adjusted_p: Option<f64>,
        psi: Option<f64>,
        js: Option<f64>,
        w1: Option<f64>,
        ks: Option<f64>,
        linf: Option<f64>,
        null_delta: Option<f64>,
        nan_delta: Option<f64>,
        new_category_share: Option<f64>,
        n: i64,
        m: i64,
        other_run: Option<CqlTimeuuid>,
        measured_at: Option<CqlTimestamp>,
    }
}

/// What an earlier run found about a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftHistory {
    pub run_id: Uuid,
    pub version: i32,
    pub feature: String,
    pub against: String,
    pub segment: String,
    pub verdict: String,
    pub psi: Option<f64>,
}

stored! {
    read struct HistoryRow of DriftHistory {
        run_id: CqlTimeuuid,
        version: i32,
        feature: String,
        against: String,
        segment: String,
        verdict: String,
        psi: Option<f64>,
    }
}

impl Store {
    /// Writes rows. Safe to repeat.
    pub async fn put_drift(&self, rows: &[DriftRow]) -> Result<(), StoreError> {
        let cql = insert("drift", Row::COLUMNS);
        let writes: Vec<_> = rows
            .iter()
            .map(|row| self.write(&cql, Row::from(row)))
            .collect();
        futures::stream::iter(writes)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// Returns the newest run of a job that has rows.
    pub async fn newest_drift(&self, job: &str) -> Result<Option<Uuid>, StoreError> {
        let row: Option<(CqlTimeuuid,)> = self.row(NEWEST, (job,)).await?;
        Ok(row.map(|(run_id,)| run_id.into()))
    }

    /// Returns what a run found.
    pub async fn drift(&self, job: &str, run_id: Uuid) -> Result<Vec<DriftRow>, StoreError> {
        self.stored::<Row>(
            "FROM drift WHERE job = ? AND run_id = ?",
            (job, CqlTimeuuid::from(run_id)),
        )
        .await
    }

    /// Returns the rows of a job's newest runs, newest first, `limit` at most.
    pub async fn drift_history(
        &self,
        job: &str,
        limit: i32,
    ) -> Result<Vec<DriftHistory>, StoreError> {
        self.stored::<HistoryRow>("FROM drift WHERE job = ? LIMIT ?", (job, limit))
            .await
    }
}
