//! Alarms, acknowledgements, experiments, comparisons: whole tables, or a job's rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{columns::stored, error::StoreError},
};

/// An alarm, as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmLine {
    pub job: String,
    /// `None`: the job has no alarm.
    pub id: Option<Uuid>,
    pub kind: Option<String>,
    pub subject: Option<String>,
    pub what: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub seen: i32,
    pub last_run: Option<Uuid>,
    pub closed_at: Option<DateTime<Utc>>,
}

stored! {
    read struct AlarmColumns of AlarmLine {
        job: String,
        id: Option<CqlTimeuuid>,
        kind: Option<String>,
        subject: Option<String>,
        what: Option<String>,
        since: Option<CqlTimestamp>,
        seen: Option<i32>,
        last_run: Option<CqlTimeuuid>,
        closed_at: Option<CqlTimestamp>,
    }
}

/// Who acknowledged an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct AckLine {
    pub job: String,
    pub id: Uuid,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

stored! {
    read struct AckColumns of AckLine {
        job: String,
        id: CqlTimeuuid,
        acknowledged_by: Option<String>,
        acknowledged_at: Option<CqlTimestamp>,
        note: Option<String>,
    }
}

/// Where a revision of an experiment stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentLine {
    pub job: String,
    /// `None`: only the job's allocation was ever written.
    pub name: Option<String>,
    pub revision: Option<i32>,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

stored! {
    read struct ExperimentColumns of ExperimentLine {
        job: String,
        name: Option<String>,
        revision: Option<i32>,
        state: Option<String>,
        reason: Option<String>,
        started_at: Option<CqlTimestamp>,
        ended_at: Option<CqlTimestamp>,
    }
}

/// A version compared with a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonLine {
    pub comparison_id: Uuid,
    pub version: i32,
    pub baseline: Option<i32>,
    pub requested_by: Option<String>,
    pub finished_at: Option<DateTime<Utc>>,
    pub source_rows: u64,
    pub compared: u64,
    pub agreement: Option<f64>,
    pub mean_difference: Option<f64>,
    pub largest_difference: Option<f64>,
    pub rank_correlation: Option<f64>,
    pub label_changes: Option<BTreeMap<String, i64>>,
    pub warnings: Option<Vec<String>>,
}

stored! {
    read struct ComparisonColumns of ComparisonLine {
        comparison_id: CqlTimeuuid,
        version: i32,
        baseline: Option<i32>,
        requested_by: Option<String>,
        finished_at: Option<CqlTimestamp>,
        source_rows: Option<i64>,
        compared: Option<i64>,
        agreement: Option<f64>,
        mean_difference: Option<f64>,
        largest_difference: Option<f64>,
        rank_correlation: Option<f64>,
        label_changes: Option<BTreeMap<String, i64>>,
        warnings: Option<Vec<String>>,
    }
}

/// A request for a training.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrainingLine {
    pub name: String,
    /// `None`: there is no request yet, only the columns about the retraining.
    pub id: Option<Uuid>,
    pub problems: Option<Vec<String>>,
    pub next_due: Option<DateTime<Utc>>,
    pub cause: Option<String>,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub version: Option<i32>,
    pub run_id: Option<Uuid>,
    pub asked_at: Option<DateTime<Utc>>,
}

stored! {
    read struct RetrainingColumns of RetrainingLine {
        name: String,
        id: Option<CqlTimeuuid>,
        problems: Option<Vec<String>>,
        next_due: Option<CqlTimestamp>,
        cause: Option<String>,
        state: Option<String>,
        reason: Option<String>,
        version: Option<i32>,
        run_id: Option<CqlTimeuuid>,
        asked_at: Option<CqlTimestamp>,
    }
}

impl Store {
    /// Returns the newest alarms of every job, `limit` of each at most. Reads all partitions.
    pub async fn alarm_lines(&self, limit: i32) -> Result<Vec<AlarmLine>, StoreError> {
        let mut lines = self
            .stored::<AlarmColumns>("FROM alarms PER PARTITION LIMIT ?", (limit,))
            .await?;
        lines.retain(|line| line.id.is_some());
        Ok(lines)
    }

    /// Returns the acknowledgements of all alarms. Reads all partitions.
    pub async fn ack_lines(&self) -> Result<Vec<AckLine>, StoreError> {
        self.stored::<AckColumns>("FROM alarm_acks", ()).await
    }

    /// Returns where every revision of every experiment stands. Reads all partitions.
    pub async fn experiment_lines(&self) -> Result<Vec<ExperimentLine>, StoreError> {
        self.stored::<ExperimentColumns>("FROM experiment_status", ())
            .await
    }

    /// Returns a job's newest comparisons, newest first.
    pub async fn comparison_lines(
        &self,
        job: &str,
        limit: i32,
    ) -> Result<Vec<ComparisonLine>, StoreError> {
        self.stored::<ComparisonColumns>("FROM comparisons WHERE job = ? LIMIT ?", (job, limit))
            .await
    }

    /// Returns the newest requests of these retrainings, `limit` of each at most.
    pub async fn retraining_lines(
        &self,
        model: &str,
        names: &[String],
        limit: i32,
    ) -> Result<Vec<RetrainingLine>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.stored::<RetrainingColumns>(
            "FROM retraining_requests WHERE model = ? AND name IN ? PER PARTITION LIMIT ?",
            (model, names, limit),
        )
        .await
    }
}
