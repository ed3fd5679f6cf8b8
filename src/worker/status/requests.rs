//! Wishes that nobody has answered.

use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use super::{PROMPT, ago};
use crate::{
    domain::run_id,
    store::{Store, error::StoreError},
};

/// A wish without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `run_requests` or `alias_requests`.
    pub table: &'static str,
    /// The day under which it stands.
    pub day: NaiveDate,
    /// Its id.
    pub id: Uuid,
    /// run, cancel, check; promote, rollback, retire.
    pub action: Option<String>,
    /// The job or the model that it is about.
    pub about: Option<String>,
    /// Who asks.
    pub requested_by: Option<String>,
    /// The time in the id.
    pub asked_at: Option<DateTime<Utc>>,
}

/// Of yesterday, today and tomorrow (UTC: people's clocks differ). What is older has expired.
pub(super) async fn read(store: &Store, now: DateTime<Utc>) -> Result<Vec<Waiting>, StoreError> {
    let today = now.date_naive();
    let mut waiting = Vec::new();
    for day in [today - Days::new(1), today, today + Days::new(1)] {
        for request in store.open_run_requests(day).await? {
            waiting.push(Waiting {
                table: "run_requests",
                day,
                id: request.id,
                action: Some(request.action.unwrap_or_else(|| "run".to_owned())),
                about: request.job,
                requested_by: request.requested_by,
                asked_at: time(request.id),
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
