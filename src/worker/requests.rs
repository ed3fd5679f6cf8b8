//! Answers `run_requests`: each row once, within a heartbeat, whatever it holds.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::{
    compare, evaluate, forget, jobs,
    run::plan::{self, Planned, Wish},
};
use crate::{
    domain::{problem::Problem, run::Scope, run_id},
    failpoint,
    failure::{Exit, Failure},
    store::{Store, answers::Answer, run_requests::RunRequest},
};

/// A request older than this is expired, not served: whoever waited has given up.
const EXPIRED_AFTER: TimeDelta = TimeDelta::hours(24);

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Requests answered.
    pub answered: usize,
    /// Requests that could not be served now: they stay open, and hold nobody else up.
    pub troubles: Vec<String>,
}

/// Answers all requests of yesterday, today and tomorrow (UTC) that have no answer yet.
///
/// # Errors
/// Cassandra's, where requests can't even be read. A request that can't be served is an answer, not
/// an error.
pub async fn run_once(store: &Store) -> Result<Round, Failure> {
    let today = Utc::now().date_naive();
    let days = [today - Days::new(1), today, today + Days::new(1)];
    let mut round = Round::default();
    for day in days {
        for request in store.open_run_requests(day).await? {
            match answer(store, &request).await {
                Ok(_) => round.answered += 1,
                Err(failure) => round
                    .troubles
                    .push(format!("request {}: {failure}", request.id)),
            }
        }
    }
    Ok(round)
}

/// An answer, and what a command that asked makes of a refusal.
#[derive(Debug)]
pub struct Answered {
    /// As it stands in `answers`.
    pub answer: Answer,
    /// With the exit code, when it was refused here and now.
    pub refusal: Option<Failure>,
}

/// Answers one request; an answer that stands already is given back.
///
/// # Errors
/// Cassandra's, or this process is not fit to serve (its clock, the library): the request stays
/// unanswered for another worker.
pub async fn answer(store: &Store, request: &RunRequest) -> Result<Answered, Failure> {
    if let Some(answer) = store.answer(request.day, request.id).await? {
        let refusal = None;
        return Ok(Answered { answer, refusal });
    }
    let (answer, refusal) = match serve(store, request).await {
        Ok(answer) => (answer, None),
        Err(failure) if failure.exit == Exit::System => return Err(failure),
        Err(failure) => (refused(&failure.problems), Some(failure)),
    };
    failpoint::hit("before_answer");
    let answer = store
        .insert_answer(request.day, request.id, &answer)
        .await?;
    Ok(Answered { answer, refusal })
}

fn refused(problems: &[Problem]) -> Answer {
    let lines: Vec<_> = problems.iter().map(Problem::line).collect();
    Answer {
        answer: "refused".to_owned(),
        reason: Some(lines.join("; ")),
        run_id: None,
    }
}

async fn serve(store: &Store, request: &RunRequest) -> Result<Answer, Failure> {
    let asked_at = asked_at(request)?;
    if Utc::now() - asked_at > EXPIRED_AFTER {
        return Ok(Answer {
            answer: "expired".to_owned(),
            reason: Some("it is older than 24 hours; ask again".to_owned()),
            run_id: None,
        });
    }
    // Boxed: together they would be more than a thread's stack holds in a build that is not optimised.
    match request.action.as_deref() {
        None | Some("run") => Box::pin(run(store, request, asked_at)).await,
        Some("cancel") => cancel(store, request).await,
        Some("check") => Box::pin(check(store)).await,
        Some("forget") => Box::pin(forget::answer(store, request)).await,
        Some("compare") => {
            let job = needed(request, "job", request.job.as_ref())?;
            Box::pin(compare::answer(store, request, job)).await
        }
        Some("evaluate") => {
            let job = needed(request, "job", request.job.as_ref())?;
            Box::pin(evaluate::answer(store, request, job)).await
        }
        Some(other) => Err(Failure::input(
            Problem::new(
                "request.unknown_action",
                format!("action `{other}` is unknown"),
            )
            .help("run (or null), cancel, check, compare, evaluate or forget"),
        )),
    }
}

/// The time in the id. A row under the wrong day would be missed by half of the readers.
fn asked_at(request: &RunRequest) -> Result<DateTime<Utc>, Failure> {
    let at = run_id::time_100ns(request.id)
        .and_then(|ticks| DateTime::from_timestamp_micros((ticks / 10) as i64))
        .ok_or_else(|| {
            Failure::input(
                Problem::new("request.id", "the id is no timeuuid with a time since 1970")
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
) -> Result<Answer, Failure> {
    let job = needed(request, "job", request.job.as_ref())?;
    let scope = Scope::from_columns(
        request.scope.as_deref(),
        request.token_from,
        request.token_to,
        request.keys.clone(),
    )
    .map_err(|error| Failure::input(Problem::new("request.scope", error)))?;
    if let Some(key) = request.dedupe_key.as_deref()
        && let Some(answer) = same_wish(store, request, job, key).await?
    {
        return Ok(answer);
    }
    let wish = Wish {
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
    };
    let (answer, run) = match plan::plan(store, &wish).await? {
        Planned::Opened(run) => ("accepted", run),
        Planned::Joined(run) => ("joined", run),
    };
    Ok(Answer {
        answer: answer.to_owned(),
        reason: None,
        run_id: Some(run.run_id),
    })
}

/// Whoever was not sure whether a request arrived asks again under the same key: the answer is the
/// first one's, if it was asked a day ago at most.
async fn same_wish(
    store: &Store,
    request: &RunRequest,
    job: &str,
    key: &str,
) -> Result<Option<Answer>, Failure> {
    let mut earlier = Vec::new();
    for day in [request.day - Days::new(1), request.day] {
        let of_day = store.run_requests(day).await?.into_iter();
        earlier.extend(of_day.filter(|other| {
            other.id != request.id
                && other.job.as_deref() == Some(job)
                && other.dedupe_key.as_deref() == Some(key)
        }));
    }
    for other in earlier {
        let order = |id| (run_id::time_100ns(id), id);
        match store.answer(other.day, other.id).await? {
            Some(answer) if answer.run_id.is_some() => {
                return Ok(Some(Answer {
                    answer: "joined".to_owned(),
                    reason: Some(format!("request {} had the same dedupe_key", other.id)),
                    ..answer
                }));
            }
            // It was refused: that is no run to join.
            Some(_) => {}
            // Both are new: the earlier one makes the run, this one waits for it.
            None if order(other.id) < order(request.id) => {
                return Err(Failure::system(Problem::new(
                    "request.duplicate",
                    format!("request {} with the same dedupe_key comes first", other.id),
                )));
            }
            None => {}
        }
    }
    Ok(None)
}

async fn cancel(store: &Store, request: &RunRequest) -> Result<Answer, Failure> {
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
    Ok(Answer {
        answer: if run.state.is_terminal() {
            "refused"
        } else {
            "accepted"
        }
        .to_owned(),
        reason: run
            .state
            .is_terminal()
            .then(|| format!("the run has ended: {}", run.state)),
        run_id: Some(run_id),
    })
}

async fn check(store: &Store) -> Result<Answer, Failure> {
    super::admission::run_once(store).await?;
    jobs::run_once(store).await?;
    Ok(Answer {
        answer: "done".to_owned(),
        reason: None,
        run_id: None,
    })
}

/// The UTC day under which a request with this id is written.
pub fn day_of(id: uuid::Uuid) -> NaiveDate {
    run_id::time_100ns(id)
        .and_then(|ticks| DateTime::from_timestamp_micros((ticks / 10) as i64))
        .unwrap_or_default()
        .date_naive()
}
