//! `comparisons`: versions held against each other, each once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};

const INSERT: &str = "INSERT INTO comparisons (job, comparison_id, version, baseline, job_revision, model, aliases, requested_by, begun_at, finished_at, source_rows, compared, stale, missing, rejected, orphaned, agreement, score, mean_difference, mean_absolute_difference, largest_difference, rank_correlation, rank_correlation_error, label_changes, difference_quantiles, difference_histogram, segment, segments, warnings, helenus_version) VALUES (:job, :comparison_id, :version, :baseline, :job_revision, :model, :aliases, :requested_by, :begun_at, :finished_at, :source_rows, :compared, :stale, :missing, :rejected, :orphaned, :agreement, :score, :mean_difference, :mean_absolute_difference, :largest_difference, :rank_correlation, :rank_correlation_error, :label_changes, :difference_quantiles, :difference_histogram, :segment, :segments, :warnings, :helenus_version) IF NOT EXISTS";
const EXISTS: &str =
    "SELECT version FROM comparisons WHERE job = ? AND comparison_id = ? AND version = ?";

/// A row of `comparisons`; the schema tells what the columns mean.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Comparison {
    pub job: String,
    pub comparison_id: Uuid,
    pub version: i32,
    pub baseline: i32,
    pub job_revision: i32,
    pub model: String,
    pub aliases: BTreeMap<String, i32>,
    pub requested_by: Option<String>,
    pub begun_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub source_rows: u64,
    pub compared: u64,
    pub stale: u64,
    pub missing: u64,
    pub rejected: u64,
    pub orphaned: BTreeMap<i32, u64>,
    pub agreement: Option<f64>,
    pub score: Option<String>,
    pub mean_difference: Option<f64>,
    pub mean_absolute_difference: Option<f64>,
    pub largest_difference: Option<f64>,
    pub rank_correlation: Option<f64>,
    pub rank_correlation_error: Option<f64>,
    pub label_changes: BTreeMap<String, u64>,
    pub difference_quantiles: BTreeMap<String, f64>,
    /// Ascending.
    pub difference_histogram: Vec<(f64, u64)>,
    pub segment: Option<String>,
    pub segments: BTreeMap<String, BTreeMap<String, f64>>,
    pub warnings: Vec<String>,
}

/// Doubles as CQL orders them.
#[derive(Debug, Clone)]
struct Histogram(Vec<(f64, i64)>);

impl scylla::serialize::value::SerializeValue for Histogram {
    fn serialize<'b>(
        &self,
        _: &scylla::cluster::metadata::ColumnType<'_>,
        writer: scylla::serialize::writers::CellWriter<'b>,
    ) -> Result<scylla::serialize::writers::WrittenCellProof<'b>, scylla::errors::SerializationError>
    {
        let mut bytes = (self.0.len() as i32).to_be_bytes().to_vec();
        for (end, rows) in &self.0 {
            super::raw::push_cell(&mut bytes, Some(&end.to_be_bytes()));
            super::raw::push_cell(&mut bytes, Some(&rows.to_be_bytes()));
        }
        writer
            .set_value(&bytes)
            .map_err(scylla::errors::SerializationError::new)
    }
}

#[derive(scylla::SerializeRow)]
struct Row<'a> {
    job: &'a str,
    comparison_id: CqlTimeuuid,
    version: i32,
    baseline: i32,
    job_revision: i32,
    model: &'a str,
    aliases: &'a BTreeMap<String, i32>,
    requested_by: Option<&'a str>,
    begun_at: CqlTimestamp,
    finished_at: CqlTimestamp,
    source_rows: i64,
    compared: i64,
    stale: i64,
    missing: i64,
    rejected: i64,
    orphaned: BTreeMap<i32, i64>,
    agreement: Option<f64>,
    score: Option<&'a str>,
    mean_difference: Option<f64>,
    mean_absolute_difference: Option<f64>,
    largest_difference: Option<f64>,
    rank_correlation: Option<f64>,
    rank_correlation_error: Option<f64>,
    label_changes: BTreeMap<&'a str, i64>,
    difference_quantiles: &'a BTreeMap<String, f64>,
    difference_histogram: Histogram,
    segment: Option<&'a str>,
    segments: &'a BTreeMap<String, BTreeMap<String, f64>>,
    warnings: &'a [String],
    helenus_version: &'a str,
}

impl Store {
    /// Whether a version of a comparison stands.
    pub async fn has_comparison(
        &self,
        job: &str,
        id: Uuid,
        version: i32,
    ) -> Result<bool, StoreError> {
        let key = (job, CqlTimeuuid::from(id), version);
        Ok(self.serial_row::<(i32,)>(EXISTS, key).await?.is_some())
    }

    /// Writes a comparison, unless it stands already.
    pub async fn insert_comparison(&self, row: &Comparison) -> Result<(), StoreError> {
        for tried_before in [false, true] {
            match self.apply(INSERT, values(row)).await {
                Err(error) if error.kind == StoreErrorKind::Unknown => {
                    let stands = self
                        .has_comparison(&row.job, row.comparison_id, row.version)
                        .await?;
                    match (stands, tried_before) {
                        (true, _) => return Ok(()),
                        (false, true) => return Err(error),
                        (false, false) => {}
                    }
                }
                outcome => return outcome.map(drop),
            }
        }
        Ok(())
    }
}

fn values(row: &Comparison) -> Row<'_> {
    let signed = |rows: u64| rows as i64;
    let histogram = row.difference_histogram.iter();
    Row {
        job: &row.job,
        comparison_id: row.comparison_id.into(),
        version: row.version,
        baseline: row.baseline,
        job_revision: row.job_revision,
        model: &row.model,
        aliases: &row.aliases,
        requested_by: row.requested_by.as_deref(),
        begun_at: CqlTimestamp(row.begun_at.timestamp_millis()),
        finished_at: CqlTimestamp(row.finished_at.timestamp_millis()),
        source_rows: signed(row.source_rows),
        compared: signed(row.compared),
        stale: signed(row.stale),
        missing: signed(row.missing),
        rejected: signed(row.rejected),
        orphaned: row
            .orphaned
            .iter()
            .map(|(v, rows)| (*v, signed(*rows)))
            .collect(),
        agreement: row.agreement,
        score: row.score.as_deref(),
        mean_difference: row.mean_difference,
        mean_absolute_difference: row.mean_absolute_difference,
        largest_difference: row.largest_difference,
        rank_correlation: row.rank_correlation,
        rank_correlation_error: row.rank_correlation_error,
        label_changes: row
            .label_changes
            .iter()
            .map(|(change, rows)| (change.as_str(), signed(*rows)))
            .collect(),
        difference_quantiles: &row.difference_quantiles,
        difference_histogram: Histogram(
            histogram.map(|(end, rows)| (*end, signed(*rows))).collect(),
        ),
        segment: row.segment.as_deref(),
        segments: &row.segments,
        warnings: &row.warnings,
        helenus_version: env!("CARGO_PKG_VERSION"),
    }
}
