//! Rows that a caller's request writes, as a person could: requests for runs and for aliases.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Days, NaiveDate, Utc};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{caller::Caller, error::ApiError};
use crate::{
    control::requests::day_of,
    domain::{answer::RequestAnswer, problem::Problem, run::run_id},
    process,
    store::{
        Store, driver::error::StoreError, registry::alias_requests::AliasRequest,
        runs::run_requests::RunRequest,
    },
};

/// Interval at which an answer is looked for.
const LOOK: Duration = Duration::from_millis(100);
const STRIPES: usize = 16;

/// Lets requests with the same idempotency key pass one after the other. Between several servers,
/// the worker sees to it that such requests share one run.
#[derive(Debug, Default)]
pub struct Idempotency([Mutex<()>; STRIPES]);

impl Idempotency {
    /// Writes the request, or returns the earlier one with its `dedupe_key`, made yesterday or
    /// today.
    ///
    /// # Errors
    /// 422 if the earlier one asks for something else; errors of Cassandra.
    pub async fn write(&self, store: &Store, request: RunRequest) -> Result<RunRequest, ApiError> {
        let (Some(key), Some(job)) = (&request.dedupe_key, &request.job) else {
            store.insert_run_request(&request).await?;
            return Ok(request);
        };
        let stripe = xxh3_64(key.as_bytes()) as usize % STRIPES;
        let _turn = self.0[stripe].lock().await;
        match earlier(store, request.day, job, key).await? {
            None => {
                store.insert_run_request(&request).await?;
                Ok(request)
            }
            Some(earlier) if is_same(&earlier, &request) => Ok(earlier),
            Some(earlier) => Err(ApiError::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                Problem::new(
                    "request.idempotency_key",
                    format!("request {} had this key and another body", earlier.id),
                )
                .at("Idempotency-Key")
                .help("send a new key with a new request"),
            )),
        }
    }
}

async fn earlier(
    store: &Store,
    today: NaiveDate,
    job: &str,
    key: &str,
) -> Result<Option<RunRequest>, StoreError> {
    for day in [today - Days::new(1), today] {
        let ids = store.run_requests_with_key(day, job, key).await?;
        if let Some(id) = ids.first() {
            return store.run_request(day, *id).await;
        }
    }
    Ok(None)
}

/// Whether two requests ask for the same. Empty collections are stored as null.
fn is_same(earlier: &RunRequest, request: &RunRequest) -> bool {
    let wish = |request: &RunRequest| RunRequest {
        day: NaiveDate::default(),
        id: Uuid::nil(),
        requested_by: None,
        versions: request.versions.clone().filter(|them| !them.is_empty()),
        options: request.options.clone().filter(|them| !them.is_empty()),
        // Cassandra keeps milliseconds.
        deadline: request
            .deadline
            .and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis())),
        ..request.clone()
    };
    wish(earlier) == wish(request)
}

/// Returns a new request of a caller for a job, with an id of now.
pub fn run_request(caller: &Caller, job: &str, action: &str) -> RunRequest {
    let id = process::timeuuid();
    RunRequest {
        day: day_of(id),
        id,
        action: Some(action.to_owned()),
        job: Some(job.to_owned()),
        requested_by: Some(requested_by(caller)),
        ..RunRequest::default()
    }
}

/// Returns a request for a run of these keys, which stores their predictions.
pub fn keys_request(
    caller: &Caller,
    job: &str,
    keys: Vec<BTreeMap<String, String>>,
    versions: impl IntoIterator<Item = i32>,
) -> RunRequest {
    RunRequest {
        scope: Some("keys".to_owned()),
        keys: Some(keys),
        versions: Some(versions.into_iter().collect()),
        ..run_request(caller, job, "run")
    }
}

/// Completes a request for an alias with its id, which is of now, and who makes it.
pub fn alias_request(caller: &Caller, request: AliasRequest) -> AliasRequest {
    let id = process::timeuuid();
    AliasRequest {
        day: day_of(id),
        id,
        requested_by: Some(requested_by(caller)),
        ..request
    }
}

/// Returns `requested_by` of the rows that a caller's requests write.
pub fn requested_by(caller: &Caller) -> String {
    format!("{}@http", caller.name)
}

/// Returns the time of a request's id.
pub fn asked_at(id: Uuid) -> Option<DateTime<Utc>> {
    let ticks = run_id::time_100ns(id)?;
    DateTime::from_timestamp_micros((ticks / 10) as i64)
}

/// Returns the days under which a request with this id may be stored: clients' clocks differ.
/// Empty for an id without a time.
pub fn days_of(id: Uuid) -> Vec<NaiveDate> {
    let Some(at) = asked_at(id) else {
        return Vec::new();
    };
    let day = at.date_naive();
    let around = [Some(day), day.pred_opt(), day.succ_opt()];
    around.into_iter().flatten().collect()
}

/// Finds a request for a run by its id.
///
/// # Errors
/// Errors of Cassandra.
pub async fn find_run_request(store: &Store, id: Uuid) -> Result<Option<RunRequest>, StoreError> {
    for day in days_of(id) {
        if let Some(request) = store.run_request(day, id).await? {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Finds a request for an alias by its id.
///
/// # Errors
/// Errors of Cassandra.
pub async fn find_alias_request(
    store: &Store,
    id: Uuid,
) -> Result<Option<AliasRequest>, StoreError> {
    for day in days_of(id) {
        if let Some(request) = store.alias_request(day, id).await? {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Waits for the worker's answer to a request, for this time at most.
///
/// # Errors
/// Errors of Cassandra.
pub async fn answer_within(
    store: &Store,
    (day, id): (NaiveDate, Uuid),
    wait: Duration,
) -> Result<Option<RequestAnswer>, StoreError> {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(answer) = store.answer(day, id).await? {
            return Ok(Some(answer));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        tokio::time::sleep(LOOK.min(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_differs_only_in_id_and_caller() {
        let now = Utc::now();
        let caller = Caller::anyone();
        let asked = || RunRequest {
            versions: Some([2, 1].into()),
            deadline: Some(now),
            dedupe_key: Some("k".to_owned()),
            ..run_request(&caller, "tumour", "run")
        };
        let mut stored = asked();
        stored.requested_by = Some("other@http".to_owned());
        stored.deadline = DateTime::from_timestamp_millis(now.timestamp_millis());
        assert!(is_same(&stored, &asked()));
        stored.note = Some("once more".to_owned());
        assert!(!is_same(&stored, &asked()));
        let empty = RunRequest {
            versions: Some([].into()),
            ..run_request(&caller, "tumour", "run")
        };
        assert!(is_same(&run_request(&caller, "tumour", "run"), &empty));
    }

    #[test]
    fn a_request_is_found_under_the_days_around_its_id() {
        let id = process::timeuuid();
        let today = asked_at(id).unwrap().date_naive();
        let days = days_of(id);
        assert_eq!(days.len(), 3);
        assert_eq!(days[0], today);
        assert!(days_of(Uuid::new_v4()).is_empty());
    }
}
