//! `gates` and `gate_verdicts`: the conditions for a version, and the worker's verdicts.

use chrono::{DateTime, Utc};
use scylla::{SerializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::gate::{Evidence, Gate, GateRow, Verdict},
    process,
    store::{
        Store,
        driver::{
            columns::{insert, stored},
            error::StoreError,
        },
    },
};

const REMOVE: &str = "UPDATE gates SET removed = true WHERE model = ? AND name = ?";
const SAY: &str = "INSERT INTO gate_verdicts (model, gate, evaluation, version, baseline, verdict, reasons, metric, improvement, low, rows, decided_by, decided_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const SAID: &str =
    "SELECT verdict, reasons FROM gate_verdicts WHERE model = ? AND gate = ? AND evaluation = ?";

stored! {
    read write struct Row of GateRow {
        model: String,
        name: String,
        alias: Option<String>,
        challenger: Option<String>,
        metric: Option<String>,
        labels: Option<String>,
        min_improvement: Option<f64>,
        confidence: Option<f64>,
        min_labelled_rows: Option<i64>,
        segment_margin: Option<f64>,
        full_coverage: Option<bool>,
        max_age: Option<String>,
        auto: Option<bool>,
        demote: Option<bool>,
        cooldown: Option<String>,
        removed: Option<bool>,
        created_by: Option<String>,
        note: Option<String>,
        experiment: Option<String>,
        least_improvement: Option<f64>,
        least_labelled: Option<i64>,
    }
}

#[derive(SerializeRow)]
struct Put {
    #[scylla(flatten)]
    row: Row,
    created_at: DateTime<Utc>,
}

impl Store {
    /// Returns all gates. Reads all partitions.
    pub async fn gates(&self) -> Result<Vec<GateRow>, StoreError> {
        self.stored::<Row>("FROM gates", ()).await
    }

    pub async fn gate(&self, model: &str, name: &str) -> Result<Option<GateRow>, StoreError> {
        self.one_stored::<Row>("FROM gates WHERE model = ? AND name = ?", (model, name))
            .await
    }

    /// Writes all columns of a gate, and replaces what was stored.
    pub async fn put_gate(&self, row: &GateRow) -> Result<(), StoreError> {
        let columns = format!("{}, created_at", Row::COLUMNS);
        let put = Put {
            row: row.into(),
            created_at: Utc::now(),
        };
        self.write(&insert("gates", &columns), put).await
    }

    /// Marks a gate as removed. Its row is kept for later reference.
    pub async fn remove_gate(&self, model: &str, name: &str) -> Result<(), StoreError> {
        self.write(REMOVE, (model, name)).await
    }

    /// Returns the recorded verdict on an evaluation and its reasons.
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

    /// Records a gate's verdict on an evaluation; nothing depends on it.
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
            process::readable(process::identity()),
            at,
        );
        self.write(SAY, values).await
    }
}
