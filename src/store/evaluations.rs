//! `evaluations`: what versions were found to be worth, a row for each version and evaluation,
//! written once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};
use crate::{domain::evaluation::report::OneResult, process};

const COLUMNS: &str = "model, version, evaluation, job, job_revision, model_sha256, aliases, versions, labels, task, positive, options, leakage, warnings, source_rows, labelled, evaluated, missing, rejected, stale, leaked, immature, not_a_number, untimed, orphaned, stray_labels, headline, headline_value, roc_auc, average_precision, log_loss, brier, accuracy, precision, recall, f1, macro_f1, weighted_f1, mae, rmse, r2, mape, metrics, low, high, bounds, absent, baseline, differences, difference_errors, difference_low, difference_high, p_values, gained, lost, segment, segments, details, requested_by, evaluated_by, evaluated_at";
/// Writes whose outcome nobody knows before Cassandra's trouble is everybody's.
const TRIES: u32 = 3;

type Numbers = Option<BTreeMap<String, f64>>;
type Texts = Option<BTreeMap<String, String>>;

/// A row of `evaluations`: one version in one evaluation.
#[derive(Debug, Clone, SerializeRow, DeserializeRow)]
#[allow(missing_docs)]
pub struct Evaluation {
    pub model: String,
    pub version: i32,
    evaluation: CqlTimeuuid,
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

/// Of a row of `evaluations`, what tells whether to read the rest: a whole row may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationHead {
    /// The evaluation.
    pub id: Uuid,
    /// Where labels were.
    pub labels: Option<String>,
    /// Against which version.
    pub baseline: Option<i32>,
    /// When it began.
    pub at: Option<DateTime<Utc>>,
}

impl Evaluation {
    /// Of a version, from what was found; what is not told by `result` is null.
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
            evaluation: evaluation.into(),
            job: None,
            job_revision: None,
            model_sha256: None,
            aliases: None,
            versions: None,
            labels: None,
            task: None,
            positive: None,
            options: None,
            leakage: None,
            warnings: None,
            source_rows: None,
            labelled: None,
            evaluated: count(result.rows),
            missing: count(of.missing),
            rejected: count(of.rejected),
            stale: count(of.stale),
            leaked: count(of.leaked),
            immature: count(of.immature),
            not_a_number: count(of.not_a_number),
            untimed: None,
            orphaned: None,
            stray_labels: None,
            headline: None,
            headline_value: None,
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
            baseline: None,
            differences: against.map(|against| against.differences.clone()),
            difference_errors: against.map(|against| against.standard_errors.clone()),
            difference_low: against.map(|against| against.low.clone()),
            difference_high: against.map(|against| against.high.clone()),
            p_values: against.map(|against| against.p_values.clone()),
            gained: against.and_then(|against| count(against.gained)),
            lost: against.and_then(|against| count(against.lost)),
            segment: None,
            segments: Some(result.segments.iter().filter_map(segment).collect()),
            details: Some(result.details.to_string()),
            requested_by: None,
            evaluated_by: Some(process::spoken(process::identity()).to_owned()),
            evaluated_at: Some(CqlTimestamp(at.timestamp_millis())),
        }
    }

    /// The evaluation's id.
    pub fn id(&self) -> Uuid {
        self.evaluation.into()
    }

    /// When it began.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.evaluated_at?.0)
    }
}

impl Store {
    /// Writes a row, unless it stands: the first result of an evaluation is its result.
    ///
    /// # Errors
    /// As [`Store::apply`], after an unknown outcome was tried again.
    pub async fn insert_evaluation(&self, row: &Evaluation) -> Result<(), StoreError> {
        let markers = vec!["?"; COLUMNS.split(", ").count()].join(", ");
        let cql = format!("INSERT INTO evaluations ({COLUMNS}) VALUES ({markers}) IF NOT EXISTS");
        let mut tries = 1;
        loop {
            match self.apply(&cql, row).await {
                Err(error) if error.kind == StoreErrorKind::Unknown && tries < TRIES => tries += 1,
                outcome => return outcome.map(drop),
            }
        }
    }

    /// What tells one version's evaluations apart, the newest first.
    ///
    /// # Errors
    /// Cassandra's.
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
                at: at.and_then(|at| DateTime::from_timestamp_millis(at.0)),
            });
        Ok(heads.collect())
    }

    /// One of them.
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

    /// When it was written, by Cassandra's clock.
    ///
    /// # Errors
    /// Cassandra's.
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

    /// The newest headline metric of a version: its name and value.
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
