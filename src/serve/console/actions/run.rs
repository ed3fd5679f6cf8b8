//! Run now: a row of `run_requests`.

use uuid::Uuid;

use super::{Act, ActOutcome, Draft, at, because, by, missing, no_such_choice, requested_by};
use crate::{
    control::requests::day_of,
    serve::{
        console::{place::ConsolePlace, query::Query, read::PageReader},
        error::ApiError,
    },
    store::{
        console::{jobs::JobHead, runs::RunLine},
        runs::run_requests::RunRequest,
    },
};

/// Runs that are looked at for one that a person asked for.
const RUNS: i32 = 50;

async fn read_state(
    reader: &PageReader<'_>,
    job: &str,
) -> Result<(Option<JobHead>, Vec<RunLine>), ApiError> {
    let revisions = Box::pin(reader.store().job_revisions(job)).await?;
    let runs = Box::pin(reader.store().run_lines(job, None, RUNS)).await?;
    Ok((
        revisions.into_iter().find(|head| head.revision.is_some()),
        runs,
    ))
}

fn asked(runs: &[RunLine]) -> Option<&RunLine> {
    runs.iter().find(|run| run.requested_by.is_some())
}

/// Returns the form.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, job: &str) -> Result<Draft, ApiError> {
    let (head, runs) = read_state(reader, job).await?;
    let head = head.ok_or_else(|| missing(format!("there is no job `{job}`")))?;
    let mut what = vec![
        format!("A worker scores the rows of job `{job}` that are new or have changed."),
        "Rows whose prediction is current stay as they are; rejected rows are listed with their reasons.".to_owned(),
    ];
    let open = runs.iter().find(|run| {
        matches!(
            run.state.as_deref(),
            Some("planning" | "running" | "waiting")
        )
    });
    if let Some(run) = open {
        what.push(format!(
            "A run is under way, {} of {} splits done: the request joins it, or follows it if rows may have changed since it began.",
            run.splits_done, run.splits_total
        ));
    }
    if head.paused {
        what.push("The job is paused, which keeps triggers from starting runs; this run is started all the same.".to_owned());
    }
    if let Some(run) = runs
        .iter()
        .find(|run| run.state.as_deref() == Some("succeeded"))
    {
        let scored: u64 = run.scored.values().sum();
        what.push(format!(
            "The last successful run read {} rows and wrote {scored} predictions{}.",
            run.source_rows,
            at(run.finished_at)
        ));
    }
    Ok(Draft {
        act: Act::Run {
            job: job.to_owned(),
            revision: head.revision,
            asked: asked(&runs).and_then(|run| run.run_id),
        },
        title: format!("Run job {job} now"),
        what,
        blocked: head.deleted.then(|| format!("job `{job}` is deleted")),
        choice: Some((
            "scope",
            "Rows",
            vec![
                ("pending", "new and changed rows"),
                ("all", "all rows, also those whose prediction is current"),
            ],
        )),
        button: "Run now",
        back: ConsolePlace::Job(job.to_owned()),
    })
}

/// Writes the request, unless the job has changed or somebody else has asked meanwhile.
///
/// # Errors
/// 400, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    act: &Act,
    request: Uuid,
    fields: &Query,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let Act::Run {
        job,
        revision,
        asked: seen,
    } = act
    else {
        return Err(no_such_choice("run"));
    };
    let scope = match fields.get("scope").unwrap_or("pending") {
        scope @ ("pending" | "all") => scope,
        other => return Err(no_such_choice(other)),
    };
    let (head, runs) = read_state(reader, job).await?;
    let mut told = Vec::new();
    match head {
        Some(head) if head.revision != *revision => told.push(format!(
            "{} made revision {} of the job{}{}.",
            by(head.created_by.as_deref()),
            head.revision.unwrap_or_default(),
            at(head.created_at),
            because(head.note.as_deref())
        )),
        Some(head) if head.deleted => told.push(format!("Job `{job}` was deleted.")),
        Some(_) => {}
        None => told.push(format!("Job `{job}` is gone.")),
    }
    if let Some(run) = asked(&runs).filter(|run| run.run_id != *seen) {
        told.push(format!(
            "{} asked for a run, which is {}{}.",
            by(run.requested_by.as_deref()),
            run.state.as_deref().unwrap_or("open"),
            at(run.due_at)
        ));
    }
    if !told.is_empty() {
        return Ok(ActOutcome::Moved(told));
    }
    let row = RunRequest {
        day: day_of(request),
        id: request,
        action: Some("run".to_owned()),
        job: Some(job.clone()),
        scope: (scope == "all").then(|| scope.to_owned()),
        requested_by: Some(requested_by(reader.caller)),
        note: Some(why.to_owned()),
        ..RunRequest::default()
    };
    Box::pin(reader.store().insert_run_request(&row)).await?;
    Ok(ActOutcome::Written)
}
