//! Asks for trainings when `retrainings` say so, and leads each trained version to its verdict.
//!
//! A request goes through the states of [`RequestState`], one conditional write for each. What a
//! state does is safe to repeat, and safe for two workers at once: the alias's history names its
//! request, the run's id and the evaluation's id are derived from the request. Nothing here promotes:
//! a gate does, if its author chose that.

mod facts;
mod steps;

use chrono::{DateTime, Utc};

use crate::{
    control::Opened,
    domain::{
        problem::Problem,
        retraining::{
            Retraining, RetrainingRow,
            due::{RetrainingFacts, decide},
            state::{RequestState, RetrainingRequest},
        },
    },
    failpoint,
    failure::Failure,
    metrics, process,
    store::{
        Store, admin::leases::Watches, driver::error::StoreError,
        retraining::requests::RetrainingStatus,
    },
};
use steps::Stepped;

/// Steps of one request in a round.
const MAX_STEPS: usize = 16;

/// What a round did.
#[derive(Debug, Default)]
pub struct RetrainingRound {
    /// Requests that were made or have ended.
    pub answered: usize,
    /// Requests that wait for a run.
    pub waiting: usize,
    pub runs: Vec<Opened>,
    /// What could not be done; the next round tries again.
    pub errors: Vec<String>,
}

/// Asks for what is due, and works on all requests under way.
///
/// # Errors
/// Errors of Cassandra if nothing could be read.
pub async fn run_once(
    store: &Store,
    watches: &mut Watches,
    now: DateTime<Utc>,
) -> Result<RetrainingRound, StoreError> {
    let mut round = RetrainingRound::default();
    let rows = store.retrainings().await?;
    if rows.is_empty() {
        return Ok(round);
    }
    let statuses = store.retraining_statuses().await?;
    for row in rows {
        let known =
            |status: &&RetrainingStatus| status.model == row.model && status.name == row.name;
        let status = statuses.iter().find(known).cloned();
        let status = status.unwrap_or_else(|| RetrainingStatus {
            model: row.model.clone(),
            name: row.name.clone(),
            ..RetrainingStatus::default()
        });
        let place = format!("retraining `{}` of model `{}`", row.name, row.model);
        if let Err(failure) = Box::pin(one(store, watches, &row, status, now, &mut round)).await {
            round.errors.push(format!("{place}: {failure}"));
        }
    }
    show(store).await?;
    Ok(round)
}

/// Sets the gauges of the requests under way.
async fn show(store: &Store) -> Result<(), StoreError> {
    let mut states = Vec::new();
    for status in store.retraining_statuses().await? {
        if let Some(open) = status.open {
            let request = store.retraining_request(&status.model, &status.name, open);
            states.extend(request.await?.map(|request| request.state));
        }
    }
    for state in RequestState::ALL
        .into_iter()
        .filter(|state| !state.is_final())
    {
        let count = states.iter().filter(|open| **open == state).count();
        metrics::RETRAININGS_OPEN
            .gauge([state.as_str()])
            .set(count as f64);
    }
    Ok(())
}

async fn one(
    store: &Store,
    watches: &mut Watches,
    row: &RetrainingRow,
    status: RetrainingStatus,
    now: DateTime<Utc>,
    round: &mut RetrainingRound,
) -> Result<(), Failure> {
    let mut open = status.open;
    if open.is_none() && row.removed != Some(true) {
        open = due(store, row, status, now).await?;
        round.answered += usize::from(open.is_some());
    }
    let Some(open) = open else {
        return Ok(());
    };
    let request = store
        .retraining_request(&row.model, &row.name, open)
        .await?;
    let Some(mut request) = request else {
        return Ok(());
    };
    if row.removed == Some(true) && !request.state.is_final() {
        return finish(store, request, "the retraining was removed").await;
    }
    for _ in 0..MAX_STEPS {
        let was = request.state;
        match Box::pin(steps::step(store, watches, &request, round)).await {
            Ok(Stepped::Waits(reason)) => {
                if reason != request.reason {
                    request.reason = reason;
                    store.move_retraining_request(&request, was).await?;
                }
                return Ok(());
            }
            Ok(Stepped::Moved(next)) => {
                failpoint::hit("before_retraining_step");
                if !store.move_retraining_request(&next, was).await? {
                    // Another worker did, or the next round finds out.
                    return Ok(());
                }
                log(&next);
                if next.state.is_final() {
                    round.answered += 1;
                    return Ok(());
                }
                request = *next;
            }
            Err(failure) if failure.is_retryable() => return Err(failure),
            Err(failure) => {
                let lines: Vec<_> = failure.problems.iter().map(Problem::line).collect();
                round.answered += 1;
                return finish(store, request, &lines.join("; ")).await;
            }
        }
    }
    Ok(())
}

async fn finish(
    store: &Store,
    mut request: RetrainingRequest,
    reason: &str,
) -> Result<(), Failure> {
    let was = request.state;
    request.state = RequestState::Failed;
    request.reason = Some(reason.to_owned());
    if store.move_retraining_request(&request, was).await? {
        log(&request);
    }
    Ok(())
}

fn log(request: &RetrainingRequest) {
    let RetrainingRequest {
        model,
        name,
        id,
        reason,
        version,
        ..
    } = request;
    let state = request.state.as_str();
    tracing::info!(model, name, %id, state, reason, version, "retraining");
}

/// Makes a request if the retraining is due; returns its id.
async fn due(
    store: &Store,
    row: &RetrainingRow,
    status: RetrainingStatus,
    now: DateTime<Utc>,
) -> Result<Option<uuid::Uuid>, Failure> {
    let mut next = status.clone();
    let retraining = match Retraining::read(row) {
        Ok(retraining) => retraining,
        Err(problems) => {
            next.problems = problems.iter().map(Problem::line).collect();
            next.next_due = None;
            write(store, &status, &next, None).await?;
            return Ok(None);
        }
    };
    let alarms = facts::alarms(store, &retraining).await?;
    let facts = RetrainingFacts {
        now,
        alarms: &alarms,
        labelled_rows: facts::labelled_rows(store, &retraining).await?,
    };
    let (cause, cursor) = decide(&retraining, status.cursor.clone(), &facts);
    next.problems = Vec::new();
    let schedule = retraining.schedule.as_ref();
    let schedule = schedule.filter(|_| !retraining.is_paused);
    next.next_due = schedule.and_then(|schedule| schedule.next_after(now));
    let request = match cause {
        None => None,
        Some(cause) => match facts::check(store, &retraining).await {
            Ok(()) => Some(RetrainingRequest {
                model: row.model.clone(),
                name: row.name.clone(),
                id: process::timeuuid(),
                cause,
                spec: retraining.spec.clone(),
                state: RequestState::Training,
                reason: None,
                version: None,
                alias_request: None,
                run_id: None,
                evaluation: None,
                asked_at: Some(now),
            }),
            Err(failure) if failure.is_retryable() => return Err(failure),
            Err(failure) => {
                // It stays due until this is mended.
                next.problems = failure.problems.iter().map(Problem::line).collect();
                write(store, &status, &next, None).await?;
                return Ok(None);
            }
        },
    };
    next.cursor = Some(cursor);
    next.open = request.as_ref().map(|request| request.id);
    let written = write(store, &status, &next, request.as_ref()).await?;
    failpoint::hit("after_retraining_asked");
    Ok(next.open.filter(|_| written))
}

async fn write(
    store: &Store,
    before: &RetrainingStatus,
    next: &RetrainingStatus,
    request: Option<&RetrainingRequest>,
) -> Result<bool, StoreError> {
    // Milliseconds are all that a timestamp keeps.
    let due = |status: &RetrainingStatus| status.next_due.map(|at| at.timestamp_millis());
    let same = before.open == next.open
        && before.problems == next.problems
        && before.cursor == next.cursor
        && due(before) == due(next);
    match same {
        true => Ok(false),
        false => store.write_retraining_status(next, request).await,
    }
}
