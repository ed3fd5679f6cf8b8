//! `runs`, without the plans: the columns from which coverage is computed.

use std::collections::{BTreeMap, BTreeSet};

use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::run::coverage::Head,
    store::{
        Store,
        driver::{columns::Cell, error::StoreError},
    },
};

// A frozen collection has one WRITETIME: it is null if there are no keys, and the keys themselves
// are not read.
const READ: &str = "SELECT run_id, job_revision, versions, scope, token_from, WRITETIME(keys) AS keys_written, target, state, started_at, run_base, source_rows, scored, request_id FROM runs WHERE job = ? AND run_id < ? LIMIT ?";
/// Above every id of a run: its time is the latest that a timeuuid can have.
const ABOVE_ALL: Uuid = Uuid::from_u128(0xffff_ffff_ffff_1fff_bfff_7f7f_7f7f_7f7f);

#[derive(DeserializeRow)]
struct RunHeadColumns {
    run_id: CqlTimeuuid,
    job_revision: Option<i32>,
    versions: Option<BTreeSet<i32>>,
    scope: Option<String>,
    token_from: Option<i64>,
    keys_written: Option<i64>,
    target: Option<String>,
    state: Option<String>,
    started_at: Option<CqlTimestamp>,
    run_base: Option<i64>,
    source_rows: Option<i64>,
    scored: Option<BTreeMap<i32, i64>>,
    request_id: Option<CqlTimeuuid>,
}

impl Store {
    /// Returns a job's newest runs by their ids, `limit` at most, of those below `before`. `fits`
    /// returns whether the job would write the same today with a revision and a target.
    pub async fn run_heads(
        &self,
        job: &str,
        before: Option<Uuid>,
        limit: i32,
        fits: impl Fn(i32, &str) -> bool,
    ) -> Result<Vec<Head>, StoreError> {
        let rows: Vec<RunHeadColumns> = self
            .serial_rows(
                READ,
                (job, CqlTimeuuid::from(before.unwrap_or(ABOVE_ALL)), limit),
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                let state = row.state.as_deref().unwrap_or_default().parse();
                let target = row.target.unwrap_or_default();
                Ok(Head {
                    state: state.map_err(|error: String| StoreError::corrupt(error, READ))?,
                    run_id: row.run_id.into(),
                    versions: row.versions.unwrap_or_default(),
                    whole: row.token_from.is_none() && row.keys_written.is_none(),
                    rewrite: row.scope.as_deref() == Some("all"),
                    fits: fits(row.job_revision.unwrap_or_default(), &target),
                    base: row.run_base,
                    started_at: row.started_at.cell(),
                    source_rows: row.source_rows.cell(),
                    scored: row.scored.cell(),
                    request_id: row.request_id.cell(),
                })
            })
            .collect()
    }
}
