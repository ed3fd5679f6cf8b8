//! Runs without their plans, and all splits of a run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{columns::stored, error::StoreError},
};

/// Splits of a run that are read.
pub const SPLITS: usize = 512;
/// Above every id of a run: its time is the latest that a timeuuid can have.
const ABOVE_ALL: Uuid = Uuid::from_u128(0xffff_ffff_ffff_1fff_bfff_7f7f_7f7f_7f7f);

/// A run, as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    pub job: String,
    /// `None`: the job has no run.
    pub run_id: Option<Uuid>,
    pub state: Option<String>,
    pub reason: Option<String>,
    pub scope: Option<String>,
    pub trigger: Option<String>,
    pub requested_by: Option<String>,
    pub versions: Option<BTreeSet<i32>>,
    pub late: bool,
    pub due_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub splits_total: i32,
    pub splits_done: i32,
    pub source_rows: u64,
    pub scored: BTreeMap<i32, u64>,
    pub unchanged: BTreeMap<i32, u64>,
    pub rejected: BTreeMap<i32, u64>,
}

stored! {
    read struct LineColumns of RunLine {
        job: String,
        run_id: Option<CqlTimeuuid>,
        state: Option<String>,
        reason: Option<String>,
        scope: Option<String>,
        trigger: Option<String>,
        requested_by: Option<String>,
        versions: Option<BTreeSet<i32>>,
        late: Option<bool>,
        due_at: Option<CqlTimestamp>,
        started_at: Option<CqlTimestamp>,
        finished_at: Option<CqlTimestamp>,
        splits_total: Option<i32>,
        splits_done: Option<i32>,
        source_rows: Option<i64>,
        scored: Option<BTreeMap<i32, i64>>,
        unchanged: Option<BTreeMap<i32, i64>>,
        rejected: Option<BTreeMap<i32, i64>>,
    }
}

/// A split of a run: who scored it, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitLine {
    pub split: i32,
    pub state: Option<String>,
    pub process: Option<String>,
    pub error: Option<String>,
    pub epoch: i32,
    pub deaths: i32,
    pub source_rows: u64,
    pub orphaned: u64,
    pub scored: BTreeMap<i32, u64>,
    pub unchanged: BTreeMap<i32, u64>,
    pub rejected: BTreeMap<i32, u64>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

stored! {
    read struct SplitColumns of SplitLine {
        split: i32,
        state: Option<String>,
        process: Option<String>,
        error: Option<String>,
        epoch: Option<i32>,
        deaths: Option<i32>,
        source_rows: Option<i64>,
        orphaned: Option<i64>,
        scored: Option<BTreeMap<i32, i64>>,
        unchanged: Option<BTreeMap<i32, i64>>,
        rejected: Option<BTreeMap<i32, i64>>,
        claimed_at: Option<CqlTimestamp>,
        finished_at: Option<CqlTimestamp>,
    }
}

impl Store {
    /// Returns each job's newest run. Reads all partitions.
    pub async fn last_runs(&self) -> Result<BTreeMap<String, RunLine>, StoreError> {
        let lines = self
            .stored::<LineColumns>("FROM runs PER PARTITION LIMIT 1", ())
            .await?;
        let lines = lines.into_iter();
        Ok(lines
            .filter(|line| line.run_id.is_some())
            .map(|line| (line.job.clone(), line))
            .collect())
    }

    /// Returns a job's newest runs before a run, or the newest of all, newest first.
    pub async fn run_lines(
        &self,
        job: &str,
        before: Option<Uuid>,
        limit: i32,
    ) -> Result<Vec<RunLine>, StoreError> {
        let before = CqlTimeuuid::from(before.unwrap_or(ABOVE_ALL));
        self.stored::<LineColumns>(
            "FROM runs WHERE job = ? AND run_id < ? LIMIT ?",
            (job, before, limit),
        )
        .await
    }

    /// Returns those of a run's first splits that were claimed, by number.
    pub async fn split_lines(
        &self,
        job: &str,
        run_id: Uuid,
        splits: usize,
    ) -> Result<Vec<SplitLine>, StoreError> {
        if splits == 0 {
            return Ok(Vec::new());
        }
        let numbers: Vec<i32> = (0..splits.min(SPLITS) as i32).collect();
        let values = (job, CqlTimeuuid::from(run_id), numbers);
        let mut lines = self
            .stored::<SplitColumns>(
                "FROM splits WHERE job = ? AND run_id = ? AND split IN ?",
                values,
            )
            .await?;
        lines.sort_by_key(|line| line.split);
        Ok(lines)
    }
}
