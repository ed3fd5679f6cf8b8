//! Finds runs that a request may share: those that do the same and began, or will begin, after it
//! was made.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, Utc};

use crate::{
    control::jobs,
    domain::{
        answer::{AnswerKind, RequestAnswer},
        problem::Problem,
        run::{Run, RunState, Scope, run_id},
    },
    failure::Failure,
    store::{Store, runs::run_requests::RunRequest},
};

/// Newest runs that are searched for one that was open when a request was made.
const LOOKED_AT: i32 = 20;

/// Returns the run that re-scored all rows of that scope while the request was made. For a process
/// that did not see the run open (another worker did, or this one before it was restarted).
pub(super) async fn covering(
    store: &Store,
    request: &RunRequest,
    job: &str,
    scope: &Scope,
    asked_at: DateTime<Utc>,
) -> Result<Option<Run>, Failure> {
    if !scope.rewrite {
        return Ok(None);
    }
    let asked_us = asked_at.timestamp_micros();
    let mut runs = store.runs(job, LOOKED_AT).await?;
    runs.retain(|run| {
        run.state == RunState::Succeeded
            && run.scope == *scope
            && run.run_base.is_some_and(|base| base < asked_us)
            && run.finished_at.is_some_and(|at| at > asked_at)
    });
    with_its_versions(store, request, job, runs).await
}

/// Returns the first of these runs that scored what a request asks for, with the job's current
/// revision.
async fn with_its_versions(
    store: &Store,
    request: &RunRequest,
    job: &str,
    runs: Vec<Run>,
) -> Result<Option<Run>, Failure> {
    if runs.is_empty() {
        return Ok(None);
    }
    let versions = request.versions.as_ref();
    let versions = versions.filter(|versions| !versions.is_empty());
    let prepared = jobs::prepare(store, job, versions).await?;
    let wanted = prepared.job.versions.iter();
    let wanted: BTreeSet<i32> = wanted.map(|version| version.ready.version).collect();
    let mut runs = runs.into_iter();
    Ok(runs.find(|run| run.versions == wanted && run.job_revision == prepared.revision))
}

/// Answers a request that waited for a run that did not succeed: another run would fail in the same
/// way, or was not wanted.
pub(super) fn shared_fate(before: &Run) -> RequestAnswer {
    let reason = format!(
        "run {} was open with the same scope when this was asked; it {}: ask again",
        before.run_id, before.state
    );
    RequestAnswer::of_run(AnswerKind::Joined, before.run_id, Some(reason))
}

/// Returns the answer of an earlier request with the same `dedupe_key`, made a day ago at most. A
/// client that is not sure whether its request arrived asks again under the same key.
pub(super) async fn same_wish(
    store: &Store,
    request: &RunRequest,
    job: &str,
    key: &str,
) -> Result<Option<RequestAnswer>, Failure> {
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
                return Ok(Some(RequestAnswer {
                    kind: AnswerKind::Joined,
                    reason: Some(format!("request {} had the same dedupe_key", other.id)),
                    ..answer
                }));
            }
            // The earlier request was refused, so there is no run to join.
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
