//! Reads requests that are not answered yet.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use super::{PROMPT, ago};
use crate::{
    domain::run::{Run, RunState, run_id},
    store::{Store, driver::error::StoreError, runs::run_requests::RunRequest},
};

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `run_requests` or `alias_requests`.
    pub table: &'static str,
    /// The day under which it is stored.
    pub day: NaiveDate,
    pub id: Uuid,
    /// run, cancel, check; promote, rollback, retire.
    pub action: Option<String>,
    /// The job or the model that it is about.
    pub about: Option<String>,
    pub requested_by: Option<String>,
    /// The time in the id.
    pub asked_at: Option<DateTime<Utc>>,
    /// The open run that it waits for.
    pub behind: Option<Uuid>,
}

/// Reads the requests of yesterday, today and tomorrow (UTC; clients' clocks differ). Older ones
/// have expired.
pub(super) async fn read(store: &Store, now: DateTime<Utc>) -> Result<Vec<Waiting>, StoreError> {
    let today = now.date_naive();
    let mut waiting = Vec::new();
    for day in [today - Days::new(1), today, today + Days::new(1)] {
        for request in store.open_run_requests(day).await? {
            let behind = waits_for(store, &request).await?.map(|run| run.run_id);
            waiting.push(Waiting {
                table: "run_requests",
                day,
                id: request.id,
                action: Some(request.action.unwrap_or_else(|| "run".to_owned())),
                about: request.job,
                requested_by: request.requested_by,
                asked_at: time(request.id),
                behind,
            });
        }
        for request in store.open_alias_requests(day).await? {
            waiting.push(Waiting {
                table: "alias_requests",
                day,
                id: request.id,
                action: request.action,
                about: request.model,
                requested_by: request.requested_by,
                asked_at: time(request.id),
                behind: None,
            });
        }
    }
    waiting.sort_by_key(|request| request.asked_at);
    Ok(waiting)
}

fn time(id: Uuid) -> Option<DateTime<Utc>> {
    let ticks = run_id::time_100ns(id)?;
    DateTime::from_timestamp_micros((ticks / 10) as i64)
}

pub(super) fn warn(waiting: &[Waiting], now: DateTime<Utc>, warnings: &mut Vec<String>) {
    let late: Vec<DateTime<Utc>> = waiting
        .iter()
        .filter(|request| request.behind.is_none())
        .filter_map(|request| request.asked_at)
        .filter(|at| (now - *at).num_seconds() > PROMPT)
        .collect();
    if let Some(oldest) = late.first() {
        warnings.push(format!(
            "{} requests wait for an answer, the oldest since {}: is a worker running? `helenus worker --once` answers them now",
            late.len(),
            ago(*oldest, now)
        ));
    }
}

/// Returns the open run that a request waits for, as a reader of the tables sees it.
pub async fn waits_for(store: &Store, request: &RunRequest) -> Result<Option<Run>, StoreError> {
    let is_run = matches!(request.action.as_deref(), None | Some("run"));
    let (Some(job), Ok(scope), true) = (&request.job, request.scope(), is_run) else {
        return Ok(None);
    };
    let open = store.open_runs(job).await?;
    let open: BTreeSet<Uuid> = open.iter().filter_map(|row| row.run_id).collect();
    let asked = run_id::time_100ns(request.id).map(|ticks| (ticks / 10) as i64);
    for run_id in open {
        let run = store.run(job, run_id).await?;
        let waited = run.filter(|run| {
            run.state == RunState::Running
                && run.scope == scope
                && run.request_id != Some(request.id)
                && run.run_base < asked
        });
        if waited.is_some() {
            return Ok(waited);
        }
    }
    Ok(None)
}
