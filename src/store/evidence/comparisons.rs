//! `comparisons`: results of comparing versions, each written once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{cells, insert, stored},
        error::StoreError,
        raw::push_cell,
    },
};

const EXISTS: &str =
    "SELECT version FROM comparisons WHERE job = ? AND comparison_id = ? AND version = ?";

/// A row of `comparisons`; the schema describes the columns.
#[derive(Debug, Clone, PartialEq)]
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
    /// Upper end and rows of each bin, ascending.
    pub difference_histogram: Vec<(f64, u64)>,
    pub segment: Option<String>,
    pub segments: BTreeMap<String, BTreeMap<String, f64>>,
    pub warnings: Vec<String>,
}

/// A histogram that is stored as a map, in CQL's order of doubles.
#[derive(Debug, Clone)]
struct Histogram(Vec<(f64, u64)>);

impl scylla::serialize::value::SerializeValue for Histogram {
    fn serialize<'b>(
        &self,
        _: &scylla::cluster::metadata::ColumnType<'_>,
        writer: scylla::serialize::writers::CellWriter<'b>,
    ) -> Result<scylla::serialize::writers::WrittenCellProof<'b>, scylla::errors::SerializationError>
    {
        let mut bytes = (self.0.len() as i32).to_be_bytes().to_vec();
        for (end, rows) in &self.0 {
            push_cell(&mut bytes, Some(&end.to_be_bytes()));
            push_cell(&mut bytes, Some(&(*rows as i64).to_be_bytes()));
        }
        writer
            .set_value(&bytes)
            .map_err(scylla::errors::SerializationError::new)
    }
}

stored! {
    write struct Row of Comparison {
        job: String,
        comparison_id: CqlTimeuuid,
        version: i32,
        baseline: i32,
        job_revision: i32,
        model: String,
        aliases: BTreeMap<String, i32>,
        requested_by: Option<String>,
        begun_at: DateTime<Utc>,
        finished_at: DateTime<Utc>,
        source_rows: i64,
        compared: i64,
        stale: i64,
        missing: i64,
        rejected: i64,
        orphaned: BTreeMap<i32, i64>,
        agreement: Option<f64>,
        score: Option<String>,
        mean_difference: Option<f64>,
        mean_absolute_difference: Option<f64>,
        largest_difference: Option<f64>,
        rank_correlation: Option<f64>,
        rank_correlation_error: Option<f64>,
        label_changes: BTreeMap<String, i64>,
        difference_quantiles: BTreeMap<String, f64>,
        difference_histogram: Histogram,
        segment: Option<String>,
        segments: BTreeMap<String, BTreeMap<String, f64>>,
        warnings: Vec<String>,
    }
}

cells! { Vec<(f64, u64)> => Histogram: Histogram; }

#[derive(scylla::SerializeRow)]
struct Insert {
    #[scylla(flatten)]
    row: Row,
    helenus_version: &'static str,
}

impl Store {
    /// Returns whether the row of a version in a comparison exists.
    pub async fn has_comparison(
        &self,
        job: &str,
        id: Uuid,
        version: i32,
    ) -> Result<bool, StoreError> {
        let key = (job, CqlTimeuuid::from(id), version);
        Ok(self.serial_row::<(i32,)>(EXISTS, key).await?.is_some())
    }

    /// Writes a comparison, unless it already exists.
    pub async fn insert_comparison(&self, row: &Comparison) -> Result<(), StoreError> {
        let columns = format!("{}, helenus_version", Row::COLUMNS);
        let cql = insert("comparisons", &columns) + " IF NOT EXISTS";
        let values = Insert {
            row: row.into(),
            helenus_version: env!("CARGO_PKG_VERSION"),
        };
        let stands = || self.has_comparison(&row.job, row.comparison_id, row.version);
        let again = async {
            if stands().await? {
                return Ok(Some(true));
            }
            let read_back = async { Ok(stands().await?.then_some(true)) };
            let again = self.apply_or_read_back(&cql, &values, read_back);
            again.await.map(Some)
        };
        let written = self.apply_or_read_back(&cql, &values, again).await;
        written.map(drop)
    }
}
