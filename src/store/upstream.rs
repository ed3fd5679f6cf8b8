//! `runs`, as far as triggers follow them: those over the whole ring, without their plans.

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use super::{Store, error::StoreError};
use crate::domain::run::RunState;

/// Runs that are looked at.
const NEWEST: i32 = 20;
const READ: &str = "SELECT run_id, state, token_from, WRITETIME(keys), started_at, finished_at FROM runs WHERE job = ? LIMIT ?";

/// A run over the whole ring that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct WholeRun {
    pub run_id: Uuid,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

impl Store {
    /// Of a job's 20 newest runs those over the whole ring that succeeded: one small read.
    pub async fn whole_runs(&self, job: &str) -> Result<Vec<WholeRun>, StoreError> {
        type Row = (
            CqlTimeuuid,
            Option<String>,
            Option<i64>,
            Option<i64>,
            Option<CqlTimestamp>,
            Option<CqlTimestamp>,
        );
        let rows: Vec<Row> = self.rows(READ, (job, NEWEST)).await?;
        let time = |at: Option<CqlTimestamp>| DateTime::from_timestamp_millis(at?.0);
        let whole =
            rows.into_iter()
                .filter_map(|(run_id, state, token_from, keys, started, finished)| {
                    let succeeded = state.as_deref() == Some(RunState::Succeeded.as_str());
                    (succeeded && token_from.is_none() && keys.is_none()).then_some(WholeRun {
                        run_id: run_id.into(),
                        started_at: time(started)?,
                        finished_at: time(finished)?,
                    })
                });
        Ok(whole.collect())
    }
}
