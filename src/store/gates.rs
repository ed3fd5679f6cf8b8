//! `gates` and `gate_verdicts`: what a version must show, and what the worker says of it.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{Store, error::StoreError};
use crate::{
    domain::gate::{Evidence, Gate, GateRow, Verdict},
    process,
};

const COLUMNS: &str = "model, name, alias, challenger, metric, labels, least_improvement, confidence, least_labelled, segment_margin, full_coverage, max_age, auto, demote, cooldown, removed, created_by, note";
const PUT: &str = "INSERT INTO gates (model, name, alias, challenger, metric, labels, least_improvement, confidence, least_labelled, segment_margin, full_coverage, max_age, auto, demote, cooldown, removed, created_by, note, created_at) VALUES (:model, :name, :alias, :challenger, :metric, :labels, :least_improvement, :confidence, :least_labelled, :segment_margin, :full_coverage, :max_age, :auto, :demote, :cooldown, :removed, :created_by, :note, :created_at)";
const REMOVE: &str = "UPDATE gates SET removed = true WHERE model = ? AND name = ?";
const SAY: &str = "INSERT INTO gate_verdicts (model, gate, evaluation, version, baseline, verdict, reasons, metric, improvement, low, rows, decided_by, decided_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const SAID: &str =
    "SELECT verdict, reasons FROM gate_verdicts WHERE model = ? AND gate = ? AND evaluation = ?";

#[derive(DeserializeRow)]
struct Row {
    model: String,
    name: String,
    alias: Option<String>,
    challenger: Option<String>,
    metric: Option<String>,
    labels: Option<String>,
    least_improvement: Option<f64>,
    confidence: Option<f64>,
    least_labelled: Option<i64>,
    segment_margin: Option<f64>,
    full_coverage: Option<bool>,
    max_age: Option<String>,
    auto: Option<bool>,
    demote: Option<bool>,
    cooldown: Option<String>,
    removed: Option<bool>,
    created_by: Option<String>,
    note: Option<String>,
}

#[derive(SerializeRow)]
struct Put<'r> {
    model: &'r str,
    name: &'r str,
    alias: Option<&'r str>,
    challenger: Option<&'r str>,
    metric: Option<&'r str>,
    labels: Option<&'r str>,
    least_improvement: Option<f64>,
    confidence: Option<f64>,
    least_labelled: Option<i64>,
    segment_margin: Option<f64>,
    full_coverage: Option<bool>,
    max_age: Option<&'r str>,
    auto: Option<bool>,
    demote: Option<bool>,
    cooldown: Option<&'r str>,
    removed: Option<bool>,
    created_by: Option<&'r str>,
    note: Option<&'r str>,
    created_at: CqlTimestamp,
}

impl From<Row> for GateRow {
    fn from(row: Row) -> Self {
        Self {
            model: row.model,
            name: row.name,
            alias: row.alias,
            challenger: row.challenger,
            metric: row.metric,
            labels: row.labels,
            least_improvement: row.least_improvement,
            confidence: row.confidence,
            least_labelled: row.least_labelled,
            segment_margin: row.segment_margin,
            full_coverage: row.full_coverage,
            max_age: row.max_age,
            auto: row.auto,
            demote: row.demote,
            cooldown: row.cooldown,
            removed: row.removed,
            created_by: row.created_by,
            note: row.note,
        }
    }
}

impl Store {
    /// All gates. Walks all partitions.
    pub async fn gates(&self) -> Result<Vec<GateRow>, StoreError> {
        let rows: Vec<Row> = self
            .rows(&format!("SELECT {COLUMNS} FROM gates"), ())
            .await?;
        Ok(rows.into_iter().map(GateRow::from).collect())
    }

    /// One gate.
    pub async fn gate(&self, model: &str, name: &str) -> Result<Option<GateRow>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM gates WHERE model = ? AND name = ?");
        let row: Option<Row> = self.row(&cql, (model, name)).await?;
        Ok(row.map(GateRow::from))
    }

    /// Writes a gate, every column, whatever stood there.
    pub async fn put_gate(&self, row: &GateRow) -> Result<(), StoreError> {
        let put = Put {
            model: &row.model,
            name: &row.name,
            alias: row.alias.as_deref(),
            challenger: row.challenger.as_deref(),
            metric: row.metric.as_deref(),
            labels: row.labels.as_deref(),
            least_improvement: row.least_improvement,
            confidence: row.confidence,
            least_labelled: row.least_labelled,
            segment_margin: row.segment_margin,
            full_coverage: row.full_coverage,
            max_age: row.max_age.as_deref(),
            auto: row.auto,
            demote: row.demote,
            cooldown: row.cooldown.as_deref(),
            removed: row.removed,
            created_by: row.created_by.as_deref(),
            note: row.note.as_deref(),
            created_at: CqlTimestamp(Utc::now().timestamp_millis()),
        };
        self.write(PUT, put).await
    }

    /// Writes the wish that a gate ends. Its row stays, for who asks what it was.
    pub async fn remove_gate(&self, model: &str, name: &str) -> Result<(), StoreError> {
        self.write(REMOVE, (model, name)).await
    }

    /// What stands of an evaluation: the verdict's word and its reasons.
    pub async fn gate_verdict(
        &self,
        gate: &Gate,
        evaluation: Uuid,
    ) -> Result<Option<(String, Vec<String>)>, StoreError> {
        type Row = (Option<String>, Option<Vec<String>>);
        let key = (&gate.model, &gate.name, CqlTimeuuid::from(evaluation));
        let row: Option<Row> = self.row(SAID, key).await?;
        Ok(row.and_then(|(verdict, reasons)| Some((verdict?, reasons.unwrap_or_default()))))
    }

    /// Says what a gate says of an evaluation; it decides nothing.
    pub async fn say_gate_verdict(
        &self,
        gate: &Gate,
        evidence: &Evidence,
        verdict: &Verdict,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let values = (
            &gate.model,
            &gate.name,
            CqlTimeuuid::from(evidence.evaluation),
            evidence.version,
            evidence.baseline,
            verdict.as_str(),
            &verdict.reasons,
            &gate.metric,
            verdict.improvement,
            verdict.low,
            evidence.evaluated as i64,
            process::spoken(process::identity()),
            CqlTimestamp(at.timestamp_millis()),
        );
        self.write(SAY, values).await
    }
}
