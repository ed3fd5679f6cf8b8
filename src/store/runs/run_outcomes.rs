//! `runs`, without the plans: how a job's newest runs went.

use std::collections::{BTreeMap, BTreeSet};

use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};

use crate::{
    domain::{alarm::RunOutcome, run::Counts},
    store::{
        Store,
        driver::{columns::Cell, error::StoreError},
        runs::ROWS,
    },
};

// A frozen collection has one WRITETIME: the keys themselves are not read.
const COLUMNS: &str = "run_id, trigger, versions, token_from, WRITETIME(keys) AS keys_written, state, reason, warnings, late, deadline, finished_at, source_rows, orphaned, scored, unchanged, rejected";

#[derive(DeserializeRow)]
struct OutcomeColumns {
    run_id: CqlTimeuuid,
    trigger: Option<String>,
    versions: Option<BTreeSet<i32>>,
    token_from: Option<i64>,
    keys_written: Option<i64>,
    state: Option<String>,
    reason: Option<String>,
    warnings: Option<Vec<String>>,
    late: Option<bool>,
    deadline: Option<CqlTimestamp>,
    finished_at: Option<CqlTimestamp>,
    source_rows: Option<i64>,
    orphaned: Option<i64>,
    scored: Option<BTreeMap<i32, i64>>,
    unchanged: Option<BTreeMap<i32, i64>>,
    rejected: Option<BTreeMap<i32, i64>>,
}

impl Store {
    /// Returns how a job's newest runs went, newest first. Runs in a state of a newer helenus are
    /// left out.
    pub async fn run_outcomes(&self, job: &str, limit: i32) -> Result<Vec<RunOutcome>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND {ROWS} LIMIT ?");
        let rows: Vec<OutcomeColumns> = self.rows(&cql, (job, limit)).await?;
        let outcome = |row: OutcomeColumns| {
            Some(RunOutcome {
                state: row.state.as_deref().unwrap_or_default().parse().ok()?,
                run_id: row.run_id.into(),
                trigger: row.trigger.unwrap_or_default(),
                versions: row.versions.unwrap_or_default(),
                whole: row.token_from.is_none() && row.keys_written.is_none(),
                reason: row.reason,
                warnings: row.warnings.unwrap_or_default(),
                late: row.late.unwrap_or_default(),
                deadline: row.deadline.cell(),
                finished_at: row.finished_at.cell(),
                counts: Counts {
                    source_rows: row.source_rows.cell(),
                    orphaned: row.orphaned.cell(),
                    scored: row.scored.cell(),
                    unchanged: row.unchanged.cell(),
                    rejected: row.rejected.cell(),
                },
            })
        };
        Ok(rows.into_iter().filter_map(outcome).collect())
    }
}
