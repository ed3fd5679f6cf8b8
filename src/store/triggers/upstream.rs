//! `runs`, as far as triggers follow them: succeeded runs over the whole ring.
//!
//! A job may have thousands of runs over keys between two of these, and runs are ordered by when
//! they were due, not by when they ended. So each run over the whole ring records its end in the
//! static column `whole_ended`, in the same conditional write that makes it a success: one small
//! read finds the newest of them, whatever ran in between. Runs that an older helenus ended are
//! found among the newest rows, as before.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::run::RunState,
    store::{
        Store,
        driver::{columns::Cell, error::StoreError},
    },
};

/// Rows that are searched for runs that an older helenus ended.
const NEWEST: i32 = 20;
/// Ends that a job keeps. Triggers look every few seconds and take everything that is new at once,
/// so more would only help a scheduler that was down for as many runs.
const KEPT: usize = 50;

const ENDED: &str = "SELECT whole_ended FROM runs WHERE job = ? LIMIT 1";
const READ: &str = "SELECT run_id, state, token_from, WRITETIME(keys) AS keys_written, finished_at FROM runs WHERE job = ? LIMIT ?";
const STARTED: &str = "SELECT started_at FROM runs WHERE job = ? AND run_id = ?";
const PRUNE: &str =
    "UPDATE runs SET whole_ended = whole_ended - ? WHERE job = ? IF whole_ended != null";

/// A succeeded run over the whole ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeRun {
    pub run_id: Uuid,
    pub finished_at: DateTime<Utc>,
}

#[derive(DeserializeRow)]
struct Row {
    run_id: Option<CqlTimeuuid>,
    state: Option<String>,
    token_from: Option<i64>,
    keys_written: Option<i64>,
    finished_at: Option<CqlTimestamp>,
}

impl Store {
    /// Returns the last succeeded runs of a job over the whole ring, in any order, with two small
    /// reads.
    pub async fn whole_runs(&self, job: &str) -> Result<Vec<WholeRun>, StoreError> {
        let mut ended = self.whole_ended(job).await?;
        ended.extend(self.newest_whole(job).await?);
        let ended = ended.into_iter();
        Ok(ended
            .map(|(run_id, finished_at)| WholeRun {
                run_id,
                finished_at,
            })
            .collect())
    }

    /// Returns when the last of them began; `None`: there is none, or its row was removed.
    pub async fn last_whole_start(&self, job: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let runs = self.whole_runs(job).await?;
        let Some(last) = runs.iter().max_by_key(|run| run.finished_at) else {
            return Ok(None);
        };
        type Row = (Option<CqlTimestamp>,);
        let values = (job, CqlTimeuuid::from(last.run_id));
        let row: Option<Row> = self.rows(STARTED, values).await?.pop();
        Ok(row.and_then(|(at,)| at.cell()))
    }

    async fn whole_ended(&self, job: &str) -> Result<BTreeMap<Uuid, DateTime<Utc>>, StoreError> {
        type Row = (Option<BTreeMap<CqlTimeuuid, CqlTimestamp>>,);
        let row: Option<Row> = self.rows(ENDED, (job,)).await?.pop();
        let ended = row.and_then(|(ended,)| ended).unwrap_or_default();
        let ended = ended.into_iter();
        Ok(ended
            .filter_map(|(run_id, at)| Some((run_id.into(), Cell::<Option<_>>::cell(Some(at))?)))
            .collect())
    }

    async fn newest_whole(&self, job: &str) -> Result<BTreeMap<Uuid, DateTime<Utc>>, StoreError> {
        let rows: Vec<Row> = self.rows(READ, (job, NEWEST)).await?;
        let whole = rows.into_iter();
        Ok(whole
            .filter_map(|row| {
                let succeeded = row.state.as_deref() == Some(RunState::Succeeded.as_str());
                let whole = row.token_from.is_none() && row.keys_written.is_none();
                let run_id = row.run_id.filter(|_| succeeded && whole)?;
                Some((run_id.into(), Cell::<Option<_>>::cell(row.finished_at)?))
            })
            .collect())
    }

    /// Removes the oldest ends of a job beyond those that are kept. Safe to repeat, and to omit.
    pub async fn prune_whole_ended(&self, job: &str) -> Result<(), StoreError> {
        let ended = self.whole_ended(job).await?;
        let mut ended: Vec<(Uuid, DateTime<Utc>)> = ended.into_iter().collect();
        ended.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let old = ended.iter().skip(KEPT);
        let old: Vec<CqlTimeuuid> = old.map(|(run_id, _)| (*run_id).into()).collect();
        if old.is_empty() {
            return Ok(());
        }
        self.apply_ignoring_unknown(PRUNE, (old, job)).await
    }
}
