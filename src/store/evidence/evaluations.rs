//! `evaluations`: results of evaluating versions, one row per version and evaluation, written once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::evidence::evaluation::report::OneResult,
    process,
    store::{
        Store,
        driver::{
            columns::{Cell, insert},
            error::{StoreError, StoreErrorKind},
        },
    },
};

const COLUMNS: &str = "model, version, evaluation, job, job_revision, model_sha256, aliases, versions, labels, task, positive, options, leakage, warnings, source_rows, labelled, evaluated, missing, rejected, stale, leaked, immature, not_a_number, untimed, orphaned, stray_labels, headline, headline_value, roc_auc, average_precision, log_loss, brier, accuracy, precision, recall, f1, macro_f1, weighted_f1, mae, rmse, r2, mape, metrics, low, high, bounds, absent, baseline, differences, difference_errors, difference_low, difference_high, p_values, gained, lost, segment, segments, details, requested_by, evaluated_by, evaluated_at";
/// Attempts with an unknown outcome before the error is returned.
const TRIES: u32 = 3;

type Numbers = Option<BTreeMap<String, f64>>;
type Texts = Option<BTreeMap<String, String>>;

/// A row of `evaluations`: one version in one evaluation.
#[derive(Debug, Clone, Default, SerializeRow, DeserializeRow)]
pub struct Evaluation {
    pub model: String,
    pub version: i32,
    evaluation: Option<CqlTimeuuid>,
    pub job: Option<String>,
    pub job_revision: Option<i32>,
    pub model_sha256: Option<Vec<u8>>,
    pub aliases: Option<BTreeSet<String>>,
    pub versions: Option<Vec<i32>>,
    pub labels: Option<String>,
    pub task: Option<String>,
    pub positive: Option<String>,
    pub options: Texts,
    pub leakage: Option<String>,
    pub warnings: Option<Vec<String>>,
    pub source_rows: Option<i64>,
    pub labelled: Option<i64>,
    pub evaluated: Option<i64>,
    pub missing: Option<i64>,
    pub rejected: Option<i64>,
    pub stale: Option<i64>,
    pub leaked: Option<i64>,
    pub immature: Option<i64>,
    pub not_a_number: Option<i64>,
    pub untimed: Option<i64>,
    pub orphaned: Option<i64>,
    pub stray_labels: Option<i64>,
    pub headline: Option<String>,
    pub headline_value: Option<f64>,
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
    log_loss: Option<f64>,
    brier: Option<f64>,
    accuracy: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    macro_f1: Option<f64>,
    weighted_f1: Option<f64>,
    mae: Option<f64>,
    rmse: Option<f64>,
    r2: Option<f64>,
    mape: Option<f64>,
    pub metrics: Numbers,
    pub low: Numbers,
    pub high: Numbers,
    pub bounds: Numbers,
    pub absent: Texts,
    pub baseline: Option<i32>,
    pub differences: Numbers,
    pub difference_errors: Numbers,
    pub difference_low: Numbers,
    pub difference_high: Numbers,
    pub p_values: Numbers,
    pub gained: Option<i64>,
    pub lost: Option<i64>,
    pub segment: Option<String>,
    pub segments: Texts,
    pub details: Option<String>,
    pub requested_by: Option<String>,
    evaluated_by: Option<String>,
    evaluated_at: Option<CqlTimestamp>,
}

/// The columns of `evaluations` that show whether to read the rest: a whole row may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationHead {
    pub id: Uuid,
    /// The label column.
    pub labels: Option<String>,
    /// Version that it was compared with.
    pub baseline: Option<i32>,
    /// When the evaluation began.
    pub at: Option<DateTime<Utc>>,
}

impl Evaluation {
    /// Returns the row of a version; columns that do not come from `result` are null.
    pub fn new(
        (model, version): (&str, i32),
        (evaluation, at): (Uuid, DateTime<Utc>),
        result: &OneResult,
    ) -> Self {
        let metric = |name: &str| result.metrics.get(name).copied();
        let count = |rows: u64| Some(rows as i64);
        let against = result.against.as_ref();
        let of = result.predictions;
        let segment = |(name, segment)| -> Option<(String, String)> {
            Some((String::clone(name), serde_json::to_string(segment).ok()?))
        };
        Self {
            model: model.to_owned(),
            version,
            evaluation: Some(evaluation.into()),
            evaluated: count(result.rows),
            missing: count(of.missing),
            rejected: count(of.rejected),
            stale: count(of.stale),
            leaked: count(of.leaked),
            immature: count(of.immature),
            not_a_number: count(of.not_a_number),
            roc_auc: metric("roc_auc"),
            average_precision: metric("average_precision"),
            log_loss: metric("log_loss"),
            brier: metric("brier"),
            accuracy: metric("accuracy"),
            precision: metric("precision"),
            recall: metric("recall"),
            f1: metric("f1"),
            macro_f1: metric("macro_f1"),
            weighted_f1: metric("weighted_f1"),
            mae: metric("mae"),
            rmse: metric("rmse"),
            r2: metric("r2"),
            mape: metric("mape"),
            metrics: Some(result.metrics.clone()),
            low: Some(result.low.clone()),
            high: Some(result.high.clone()),
            bounds: Some(result.bounds.clone()),
            absent: Some(result.absent.clone()),
            differences: against.map(|against| against.differences.clone()),
            difference_errors: against.map(|against| against.standard_errors.clone()),
            difference_low: against.map(|against| against.low.clone()),
            difference_high: against.map(|against| against.high.clone()),
            p_values: against.map(|against| against.p_values.clone()),
            gained: against.and_then(|against| count(against.gained)),
            lost: against.and_then(|against| count(against.lost)),
            segments: Some(result.segments.iter().filter_map(segment).collect()),
            details: Some(result.details.to_string()),
            evaluated_by: Some(process::readable(process::identity()).to_owned()),
            evaluated_at: Some(at.into()),
            ..Self::default()
        }
    }

    pub fn id(&self) -> Uuid {
        self.evaluation.map(Uuid::from).unwrap_or_default()
    }

    /// Returns when the evaluation began.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.evaluated_at.cell()
    }
}

impl Store {
    /// Writes a row, unless it already exists: the first result of an evaluation is its result.
    ///
    /// # Errors
    /// As [`Store::apply`], after an unknown outcome was retried.
    pub async fn insert_evaluation(&self, row: &Evaluation) -> Result<(), StoreError> {
        let cql = insert("evaluations", COLUMNS) + " IF NOT EXISTS";
        let mut tries = 1;
        loop {
            // Not read back: writing the same row again has the same effect.
            match self.apply(&cql, row).await {
                Err(error) if error.kind == StoreErrorKind::Unknown && tries < TRIES => tries += 1,
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Returns the heads of one version's evaluations, newest first.
    pub async fn evaluation_heads(
        &self,
        model: &str,
        version: i32,
        limit: i32,
    ) -> Result<Vec<EvaluationHead>, StoreError> {
        let cql = "SELECT evaluation, labels, baseline, evaluated_at FROM evaluations WHERE model = ? AND version = ? LIMIT ?";
        type Row = (
            CqlTimeuuid,
            Option<String>,
            Option<i32>,
            Option<CqlTimestamp>,
        );
        let rows: Vec<Row> = self.rows(cql, (model, version, limit)).await?;
        let heads = rows
            .into_iter()
            .map(|(id, labels, baseline, at)| EvaluationHead {
                id: id.into(),
                labels,
                baseline,
                at: at.cell(),
            });
        Ok(heads.collect())
    }

    /// Returns one evaluation of a version.
    pub async fn evaluation(
        &self,
        model: &str,
        version: i32,
        evaluation: Uuid,
    ) -> Result<Option<Evaluation>, StoreError> {
        let cql = format!(
            "SELECT {COLUMNS} FROM evaluations WHERE model = ? AND version = ? AND evaluation = ?"
        );
        let key = (model, version, CqlTimeuuid::from(evaluation));
        self.row(&cql, key).await
    }

    /// Returns when the row was written, by Cassandra's clock.
    pub async fn evaluation_written(
        &self,
        model: &str,
        version: i32,
        evaluation: Uuid,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let cql = "SELECT WRITETIME(evaluated_at) FROM evaluations WHERE model = ? AND version = ? AND evaluation = ?";
        let key = (model, version, CqlTimeuuid::from(evaluation));
        let row: Option<(Option<i64>,)> = self.row(cql, key).await?;
        Ok(row.and_then(|(written,)| DateTime::from_timestamp_micros(written?)))
    }

    /// Returns the newest headline metric of a version: its name and value.
    pub async fn newest_headline(
        &self,
        model: &str,
        version: i32,
    ) -> Result<Option<(String, f64)>, StoreError> {
        let cql = "SELECT headline, headline_value FROM evaluations WHERE model = ? AND version = ? LIMIT 1";
        let row: Option<(Option<String>, Option<f64>)> = self.row(cql, (model, version)).await?;
        Ok(row.and_then(|(name, value)| name.zip(value)))
    }
}
