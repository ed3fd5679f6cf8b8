//! Models: their newest versions, where aliases point, and what was found about versions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{columns::stored, error::StoreError},
};

/// Where an alias points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasHead {
    pub model: String,
    pub alias: String,
    pub version: Option<i32>,
    /// Number of its last move.
    pub last_seq: Option<i32>,
}

stored! {
    read struct AliasColumns of AliasHead {
        model: String,
        alias: String,
        version: Option<i32>,
        last_seq: Option<i32>,
    }
}

/// A move of an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasMove {
    pub alias: String,
    pub changed_at: Uuid,
    pub seq: Option<i32>,
    pub from_version: Option<i32>,
    pub to_version: Option<i32>,
    pub who: Option<String>,
    pub why: Option<String>,
    pub evidence: Option<String>,
    pub request_id: Option<Uuid>,
}

stored! {
    read struct MoveColumns of AliasMove {
        alias: String,
        changed_at: CqlTimeuuid,
        seq: Option<i32>,
        from_version: Option<i32>,
        to_version: Option<i32>,
        who: Option<String>,
        why: Option<String>,
        evidence: Option<String>,
        request_id: Option<CqlTimeuuid>,
    }
}

/// A version's admission, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionLine {
    pub name: String,
    pub version: i32,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    pub signature: Option<String>,
    pub feature_names: Option<Vec<String>>,
    pub class_names: Option<Vec<String>>,
    pub opsets: Option<BTreeMap<String, i64>>,
    pub runtime_version: Option<String>,
    pub version_row_hash: Option<Vec<u8>>,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
}

stored! {
    read struct AdmissionColumns of AdmissionLine {
        name: String,
        version: i32,
        state: Option<String>,
        reason: Option<String>,
        warnings: Option<Vec<String>>,
        signature: Option<String>,
        feature_names: Option<Vec<String>>,
        class_names: Option<Vec<String>>,
        opsets: Option<BTreeMap<String, i64>>,
        runtime_version: Option<String>,
        version_row_hash: Option<Vec<u8>>,
        decided_by: Option<String>,
        decided_at: Option<CqlTimestamp>,
    }
}

/// A version in an evaluation, without segments and details.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationLine {
    pub version: i32,
    pub evaluation: Uuid,
    pub job: Option<String>,
    pub labels: Option<String>,
    pub task: Option<String>,
    pub evaluated: u64,
    pub headline: Option<String>,
    pub headline_value: Option<f64>,
    pub metrics: Option<BTreeMap<String, f64>>,
    pub low: Option<BTreeMap<String, f64>>,
    pub high: Option<BTreeMap<String, f64>>,
    pub baseline: Option<i32>,
    pub differences: Option<BTreeMap<String, f64>>,
    pub warnings: Option<Vec<String>>,
    pub requested_by: Option<String>,
    pub evaluated_at: Option<DateTime<Utc>>,
}

stored! {
    read struct EvaluationColumns of EvaluationLine {
        version: i32,
        evaluation: CqlTimeuuid,
        job: Option<String>,
        labels: Option<String>,
        task: Option<String>,
        evaluated: Option<i64>,
        headline: Option<String>,
        headline_value: Option<f64>,
        metrics: Option<BTreeMap<String, f64>>,
        low: Option<BTreeMap<String, f64>>,
        high: Option<BTreeMap<String, f64>>,
        baseline: Option<i32>,
        differences: Option<BTreeMap<String, f64>>,
        warnings: Option<Vec<String>>,
        requested_by: Option<String>,
        evaluated_at: Option<CqlTimestamp>,
    }
}

/// A gate's verdict on an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictLine {
    pub gate: String,
    pub evaluation: Uuid,
    pub version: Option<i32>,
    pub baseline: Option<i32>,
    pub verdict: Option<String>,
    pub reasons: Vec<String>,
    pub metric: Option<String>,
    pub improvement: Option<f64>,
    pub low: Option<f64>,
    pub rows: Option<i64>,
    pub decided_at: Option<DateTime<Utc>>,
}

stored! {
    read struct VerdictColumns of VerdictLine {
        gate: String,
        evaluation: CqlTimeuuid,
        version: Option<i32>,
        baseline: Option<i32>,
        verdict: Option<String>,
        reasons: Option<Vec<String>>,
        metric: Option<String>,
        improvement: Option<f64>,
        low: Option<f64>,
        rows: Option<i64>,
        decided_at: Option<CqlTimestamp>,
    }
}

impl Store {
    /// Returns where every alias of every model points. Reads all partitions.
    pub async fn alias_heads(&self) -> Result<Vec<AliasHead>, StoreError> {
        let columns = AliasColumns::COLUMNS;
        let cql = format!("SELECT DISTINCT {columns} FROM model_aliases");
        let rows: Vec<AliasColumns> = self.rows(&cql, ()).await?;
        let mut heads: Vec<AliasHead> = rows.into_iter().map(AliasHead::from).collect();
        heads.sort_by(|a, b| (&a.model, &a.alias).cmp(&(&b.model, &b.alias)));
        Ok(heads)
    }

    /// Returns the newest moves of these aliases, `limit` of each at most, newest first.
    pub async fn alias_moves(
        &self,
        model: &str,
        aliases: &[String],
        limit: i32,
    ) -> Result<Vec<AliasMove>, StoreError> {
        if aliases.is_empty() {
            return Ok(Vec::new());
        }
        let mut moves = self
            .stored::<MoveColumns>(
                "FROM model_aliases WHERE model = ? AND alias IN ? PER PARTITION LIMIT ?",
                (model, aliases, limit),
            )
            .await?;
        moves.sort_by_key(|one| std::cmp::Reverse(super::requests::time_of(one.changed_at)));
        Ok(moves)
    }

    /// Returns the newest admission of each model. Reads all partitions.
    pub async fn last_admissions(&self) -> Result<Vec<AdmissionLine>, StoreError> {
        let mut lines = self
            .stored::<AdmissionColumns>("FROM admissions PER PARTITION LIMIT 1", ())
            .await?;
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lines)
    }

    /// Returns the admissions of a model's versions, newest first.
    pub async fn admission_lines(&self, model: &str) -> Result<Vec<AdmissionLine>, StoreError> {
        self.stored::<AdmissionColumns>("FROM admissions WHERE name = ?", (model,))
            .await
    }

    /// Returns the newest evaluations of these versions, `limit` of each at most, newest first.
    pub async fn evaluation_lines(
        &self,
        model: &str,
        versions: &[i32],
        limit: i32,
    ) -> Result<Vec<EvaluationLine>, StoreError> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let mut lines = self
            .stored::<EvaluationColumns>(
                "FROM evaluations WHERE model = ? AND version IN ? PER PARTITION LIMIT ?",
                (model, versions, limit),
            )
            .await?;
        lines.sort_by_key(|line| (std::cmp::Reverse(line.evaluated_at), line.version));
        Ok(lines)
    }

    /// Returns the newest verdicts of these gates, `limit` of each at most.
    pub async fn verdict_lines(
        &self,
        model: &str,
        gates: &[String],
        limit: i32,
    ) -> Result<Vec<VerdictLine>, StoreError> {
        if gates.is_empty() {
            return Ok(Vec::new());
        }
        self.stored::<VerdictColumns>(
            "FROM gate_verdicts WHERE model = ? AND gate IN ? PER PARTITION LIMIT ?",
            (model, gates, limit),
        )
        .await
    }
}
