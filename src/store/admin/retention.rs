//! Removes the rows of ended runs: their splits, then the runs.
//!
//! `runs` and `splits` are written conditionally only, so they are deleted conditionally: a plain
//! delete could be older or newer than what Paxos wrote.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use crate::{
    domain::run::{Part, RunState, Scope},
    store::{
        Store,
        driver::{columns::Cell, error::StoreError},
        runs::ROWS,
    },
};

const COLUMNS: &str =
    "run_id, state, versions, scope, token_from, token_to, keys, splits_total, finished_at";
const DELETE_SPLIT: &str =
    "DELETE FROM splits WHERE job = ? AND run_id = ? AND split = ? IF EXISTS";
const DELETE_REJECTED: &str = "DELETE FROM rejected_rows WHERE job = ? AND run_id = ?";
const DELETE_RUN: &str = "DELETE FROM runs WHERE job = ? AND run_id = ? IF state = ?";
const AT_A_TIME: usize = 16;

/// The columns of a run that decide whether it may be removed.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// The run's id; its time is when the run was due.
    pub run_id: Uuid,
    /// `None`: a state that this helenus does not know.
    pub state: Option<RunState>,
    /// The versions that the run scored.
    pub versions: BTreeSet<i32>,
    /// Whether the run was over the whole ring.
    pub whole: bool,
    /// Splits that the run was planned with.
    pub splits: i32,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(DeserializeRow)]
struct HeadRow {
    run_id: CqlTimeuuid,
    state: Option<String>,
    versions: Option<BTreeSet<i32>>,
    scope: Option<String>,
    token_from: Option<i64>,
    token_to: Option<i64>,
    keys: Option<Vec<BTreeMap<String, String>>>,
    splits_total: Option<i32>,
    finished_at: Option<CqlTimestamp>,
}

impl From<HeadRow> for RunHead {
    fn from(row: HeadRow) -> Self {
        let scope =
            Scope::from_columns(row.scope.as_deref(), row.token_from, row.token_to, row.keys);
        Self {
            run_id: row.run_id.into(),
            state: row.state.and_then(|state| state.parse().ok()),
            versions: row.versions.unwrap_or_default(),
            whole: scope.is_ok_and(|scope| scope.part == Part::Whole),
            splits: row.splits_total.unwrap_or_default(),
            finished_at: row.finished_at.cell(),
        }
    }
}

impl Store {
    /// Returns a job's newest runs, newest first.
    pub async fn newest_runs(&self, job: &str, limit: i32) -> Result<Vec<RunHead>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND {ROWS} LIMIT ?");
        let rows: Vec<HeadRow> = self.rows(&cql, (job, limit)).await?;
        Ok(rows.into_iter().map(RunHead::from).collect())
    }

    /// Returns a job's runs that were due before `before`, newest first.
    pub async fn runs_before(
        &self,
        job: &str,
        before: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<RunHead>, StoreError> {
        let cql =
            format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND run_id < minTimeuuid(?) LIMIT ?");
        let rows: Vec<HeadRow> = self.rows(&cql, (job, before, limit)).await?;
        Ok(rows.into_iter().map(RunHead::from).collect())
    }

    /// Removes a run that has ended in the state of `head`. The row that names the splits is
    /// deleted last, so that after a crash half-way it can still be found. Safe to repeat: the next
    /// pass finds again what a delete of unknown outcome left.
    pub async fn remove_run(&self, job: &str, head: &RunHead) -> Result<(), StoreError> {
        let Some(state) = head.state.filter(|state| state.is_terminal()) else {
            return Ok(());
        };
        let run_id = CqlTimeuuid::from(head.run_id);
        futures::stream::iter(0..head.splits)
            .map(|split| self.apply_ignoring_unknown(DELETE_SPLIT, (job, run_id, split)))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        self.write(DELETE_REJECTED, (job, run_id)).await?;
        self.apply_ignoring_unknown(DELETE_RUN, (job, run_id, state.as_str()))
            .await
    }
}
