//! Removing what ended runs left behind: their splits, then their rows.
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

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};
use crate::domain::run::{Part, RunState, Scope};

const COLUMNS: &str =
    "run_id, state, versions, scope, token_from, token_to, keys, splits_total, finished_at";
const DELETE_SPLIT: &str =
    "DELETE FROM splits WHERE job = ? AND run_id = ? AND split = ? IF EXISTS";
const DELETE_REJECTED: &str = "DELETE FROM rejected_rows WHERE job = ? AND run_id = ?";
const DELETE_RUN: &str = "DELETE FROM runs WHERE job = ? AND run_id = ? IF state = ?";
/// Splits deleted at a time.
const AT_A_TIME: usize = 16;

/// What of a run decides whether it may go.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// Its id, whose time is when it was due.
    pub run_id: Uuid,
    /// `None`: a state that this helenus does not know.
    pub state: Option<RunState>,
    /// The versions it scored.
    pub versions: BTreeSet<i32>,
    /// Over the whole ring.
    pub whole: bool,
    /// Splits that it was planned with.
    pub splits: i32,
    /// When it ended.
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
            finished_at: row
                .finished_at
                .and_then(|at| DateTime::from_timestamp_millis(at.0)),
        }
    }
}

impl Store {
    /// A job's newest runs, the newest first.
    pub async fn newest_runs(&self, job: &str, limit: i32) -> Result<Vec<RunHead>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? LIMIT ?");
        let rows: Vec<HeadRow> = self.rows(&cql, (job, limit)).await?;
        Ok(rows.into_iter().map(RunHead::from).collect())
    }

    /// A job's runs that were due before `before`, the newest of them first.
    pub async fn runs_before(
        &self,
        job: &str,
        before: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<RunHead>, StoreError> {
        let cql =
            format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND run_id < minTimeuuid(?) LIMIT ?");
        let before = CqlTimestamp(before.timestamp_millis());
        let rows: Vec<HeadRow> = self.rows(&cql, (job, before, limit)).await?;
        Ok(rows.into_iter().map(RunHead::from).collect())
    }

    /// Removes a run that has ended as `head` says. The row that names the splits goes last, so that
    /// whoever dies half-way leaves it to be found. Safe to repeat.
    pub async fn remove_run(&self, job: &str, head: &RunHead) -> Result<(), StoreError> {
        let Some(state) = head.state.filter(|state| state.is_terminal()) else {
            return Ok(());
        };
        let run_id = CqlTimeuuid::from(head.run_id);
        futures::stream::iter(0..head.splits)
            .map(|split| self.delete_if(DELETE_SPLIT, (job, run_id, split)))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        self.write(DELETE_REJECTED, (job, run_id)).await?;
        self.delete_if(DELETE_RUN, (job, run_id, state.as_str()))
            .await
    }

    /// An unknown outcome is the next pass's: what was not deleted is found again.
    async fn delete_if(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<(), StoreError> {
        match self.apply(cql, values).await {
            Err(error) if error.kind != StoreErrorKind::Unknown => Err(error),
            _ => Ok(()),
        }
    }
}
