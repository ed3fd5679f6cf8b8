//! Answers `run_requests`: each row once, within a heartbeat, whatever it contains.

mod shared;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use shared::{covering, same_wish, shared_fate};

use super::{forget, jobs, planning};
use crate::{
    domain::{
        answer::{AnswerKind, RequestAnswer},
        problem::Problem,
        run::{Run, RunState, Scope, run_id},
    },
    engine::run::plan::{Planned, RunSpec},
    failpoint,
    failure::Failure,
    inspect::{compare, evaluate},
    store::{Store, runs::run_requests::RunRequest},
};

/// Age after which a request expires instead of being served: its client has given up.
const EXPIRED_AFTER: TimeDelta = TimeDelta::hours(24);

/// An answer, and the failure that a waiting command reports for a refusal.
#[derive(Debug)]
pub struct Answered {
    /// The row of `answers`.
    pub answer: RequestAnswer,
    /// The failure, with its exit code, if this process refused the request.
    pub refusal: Option<Failure>,
}

/// Outcome of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The request is answered.
    Answered(Answered),
    /// The request stays open until this run, which began before the request was made, has ended;
    /// see [`Planned::Behind`].
    Behind(Box<Run>),
}

/// Answers one request; returns an existing answer unchanged. `waited` is the run that the request
/// was [`Outcome::Behind`] before.
///
/// # Errors
/// Errors of Cassandra, or this process cannot serve the request (its clock, the library): the
/// request stays unanswered for another worker.
pub async fn answer(
    store: &Store,
    request: &RunRequest,
    waited: Option<&Run>,
) -> Result<Outcome, Failure> {
    if let Some(answer) = store.answer(request.day, request.id).await? {
        let refusal = None;
        return Ok(Outcome::Answered(Answered { answer, refusal }));
    }
    let (answer, refusal) = match serve(store, request, waited).await {
        Ok(Served::Answer(answer)) => (answer, None),
        Ok(Served::Behind(run)) => return Ok(Outcome::Behind(run)),
        Err(failure) if failure.is_retryable() => return Err(failure),
        Err(failure) => (refused(&failure.problems), Some(failure)),
    };
    if request.action.as_deref() == Some("forget") {
        // Also if the request was refused or had expired before it was processed.
        forget::blank_own(store, request).await?;
    }
    failpoint::hit("before_answer");
    let answer = store
        .insert_answer(request.day, request.id, &answer)
        .await?;
    Ok(Outcome::Answered(Answered { answer, refusal }))
}

enum Served {
    Answer(RequestAnswer),
    Behind(Box<Run>),
}

impl From<RequestAnswer> for Served {
    fn from(answer: RequestAnswer) -> Self {
        Self::Answer(answer)
    }
}

fn refused(problems: &[Problem]) -> RequestAnswer {
    let lines: Vec<_> = problems.iter().map(Problem::line).collect();
    RequestAnswer::refused(lines.join("; "))
}

async fn serve(
    store: &Store,
    request: &RunRequest,
    waited: Option<&Run>,
) -> Result<Served, Failure> {
    let asked_at = asked_at(request)?;
    if waited.is_none() && Utc::now() - asked_at > EXPIRED_AFTER {
        let reason = "it is older than 24 hours; ask again";
        let expired = RequestAnswer::new(AnswerKind::Expired, reason);
        return Ok(expired.into());
    }
    // Boxed: together, these futures would overflow a thread's stack in an unoptimised build.
    let answered = match request.action.as_deref() {
        None | Some("run") => return Box::pin(run(store, request, asked_at, waited)).await,
        Some("cancel") => cancel(store, request).await,
        Some("check") => Box::pin(check(store)).await,
        Some("forget") => Box::pin(forget::answer(store, request)).await,
        Some("compare") => {
            let job = needed(request, "job", request.job.as_ref())?;
            jobs::answer(store, job).await?;
            Box::pin(compare::answer(store, request, job)).await
        }
        Some("evaluate") => {
            let job = needed(request, "job", request.job.as_ref())?;
            jobs::answer(store, job).await?;
            Box::pin(evaluate::answer(store, request, job)).await
        }
        Some(other) => Err(Failure::input(
            Problem::new(
                "request.unknown_action",
                format!("action `{other}` is unknown"),
            )
            .help("run (or null), cancel, check, compare, evaluate or forget"),
        )),
    };
    answered.map(Served::from)
}

/// Returns the time in the id. A row under the wrong day would be missed by half of the readers.
fn asked_at(request: &RunRequest) -> Result<DateTime<Utc>, Failure> {
    let at = run_id::time_100ns(request.id)
        .and_then(|ticks| DateTime::from_timestamp_micros((ticks / 10) as i64))
        .ok_or_else(|| {
            Failure::input(
                Problem::new(
                    "request.id",
                    "the id is not a timeuuid with a time since 1970",
                )
                .help("use now()"),
            )
        })?;
    let off = (at.date_naive() - request.day).num_days().abs();
    if off > 1 {
        return Err(Failure::input(
            Problem::new(
                "request.day",
                format!(
                    "the id is of {}, the day is {}",
                    at.date_naive(),
                    request.day
                ),
            )
            .help("use toDate(now()) and now(): days are UTC"),
        ));
    }
    Ok(at)
}

fn needed<'a>(
    request: &'a RunRequest,
    column: &str,
    value: Option<&'a String>,
) -> Result<&'a String, Failure> {
    value.ok_or_else(|| {
        let action = request.action.as_deref().unwrap_or("run");
        Failure::input(
            Problem::new("request.missing_column", format!("`{column}` is null"))
                .help(format!("action `{action}` needs it")),
        )
    })
}

async fn run(
    store: &Store,
    request: &RunRequest,
    asked_at: DateTime<Utc>,
    waited: Option<&Run>,
) -> Result<Served, Failure> {
    let job = needed(request, "job", request.job.as_ref())?;
    let mut scope = scope_of(request)?;
    if let Some(key) = request.dedupe_key.as_deref()
        && let Some(answer) = same_wish(store, request, job, key).await?
    {
        return Ok(answer.into());
    }
    let before = match waited {
        None => covering(store, request, job, &scope, asked_at).await?,
        Some(waited) => store.run(job, waited.run_id).await?,
    };
    let mut reason = None;
    if let Some(before) = &before {
        match before.state {
            RunState::Succeeded => {
                // That run re-scored all rows; what changed since is pending.
                scope.rewrite &= before.scope != scope;
                reason = Some(format!(
                    "scores what is pending after run {}, which was open with the same scope when this was asked",
                    before.run_id
                ));
            }
            RunState::Failed | RunState::Cancelled => return Ok(shared_fate(before).into()),
            _ => return Ok(Served::Behind(Box::new(before.clone()))),
        }
    }
    let wish = RunSpec {
        job: job.clone(),
        scope,
        versions: request
            .versions
            .clone()
            .filter(|versions| !versions.is_empty()),
        trigger: "request".to_owned(),
        cause: request.id.to_string(),
        due_at: asked_at,
        request_id: Some(request.id),
        requested_by: request.requested_by.clone(),
        note: request.note.clone(),
        priority: request.priority.unwrap_or_default(),
        max_rows_per_s: request.max_rows_per_s,
        deadline: request.deadline,
        // Only if the earlier run was seen open: judged by rows alone, clocks could be wrong.
        after: waited.and_then(|waited| waited.run_base),
    };
    let (kind, run) = match planning::plan(store, &wish).await? {
        Planned::Opened(run) => (AnswerKind::Accepted, run),
        Planned::Joined(run) => (AnswerKind::Joined, run),
        Planned::Behind(run) => return Ok(Served::Behind(run)),
    };
    Ok(RequestAnswer::of_run(kind, run.run_id, reason).into())
}

fn scope_of(request: &RunRequest) -> Result<Scope, Failure> {
    request
        .scope()
        .map_err(|error| Failure::input(Problem::new("request.scope", error)))
}

async fn cancel(store: &Store, request: &RunRequest) -> Result<RequestAnswer, Failure> {
    let job = needed(request, "job", request.job.as_ref())?;
    let id = request.target_run.map(|id| id.to_string());
    let run_id = needed(request, "target_run", id.as_ref())
        .map(|_| request.target_run.unwrap_or_default())?;
    let Some(run) = store.run(job, run_id).await? else {
        return Err(Failure::not_found(Problem::new(
            "run.unknown",
            format!("job `{job}` has no run {run_id}"),
        )));
    };
    store.request_cancel(job, run_id).await?;
    let (kind, reason) = match run.state.is_terminal() {
        true => {
            let reason = format!("the run has ended: {}", run.state);
            (AnswerKind::Refused, Some(reason))
        }
        false => (AnswerKind::Accepted, None),
    };
    Ok(RequestAnswer::of_run(kind, run_id, reason))
}

async fn check(store: &Store) -> Result<RequestAnswer, Failure> {
    crate::engine::admission::run_once(store).await?;
    jobs::run_once(store).await?;
    Ok(RequestAnswer {
        kind: AnswerKind::Done,
        reason: None,
        run_id: None,
    })
}

/// Returns the UTC day under which a request with this id is written.
pub fn day_of(id: uuid::Uuid) -> NaiveDate {
    run_id::time_100ns(id)
        .and_then(|ticks| DateTime::from_timestamp_micros((ticks / 10) as i64))
        .unwrap_or_default()
        .date_naive()
}
