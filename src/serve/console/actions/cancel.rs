//! Cancel: a row of `run_requests`.

use uuid::Uuid;

use super::{Act, ActOutcome, Draft, at, because, missing, requested_by};
use crate::{
    control::requests::day_of,
    domain::run::Run,
    serve::{
        console::{place::ConsolePlace, read::PageReader},
        error::ApiError,
    },
    store::runs::run_requests::RunRequest,
};

async fn read_state(reader: &PageReader<'_>, job: &str, run: Uuid) -> Result<Run, ApiError> {
    let found = Box::pin(reader.store().run(job, run)).await?;
    found.ok_or_else(|| missing(format!("job `{job}` has no run {run}")))
}

fn ended(run: &Run) -> Option<String> {
    let told = format!(
        "The run ended{}: {}{}.",
        at(run.finished_at),
        run.state,
        because(run.reason.as_deref())
    );
    run.state.is_terminal().then_some(told)
}

/// Returns the form.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, job: &str, run: Uuid) -> Result<Draft, ApiError> {
    let found = read_state(reader, job, run).await?;
    let what = vec![
        format!(
            "The run of job `{job}` ends as cancelled; {} of its {} splits are done.",
            found.splits_done, found.splits_total
        ),
        "Predictions that it has written stay. The next run does the rest.".to_owned(),
        "An alias that waits for this run does not move.".to_owned(),
    ];
    let asked = found
        .cancel_requested
        .then(|| "The run is being cancelled already.".to_owned());
    Ok(Draft {
        act: Act::Cancel {
            job: job.to_owned(),
            run,
        },
        title: "Cancel the run".to_owned(),
        what,
        blocked: ended(&found).or(asked),
        choice: None,
        button: "Cancel the run",
        back: ConsolePlace::Run(job.to_owned(), run),
    })
}

/// Writes the request, unless the run has ended meanwhile, or is being cancelled.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    job: &str,
    run: Uuid,
    request: Uuid,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let found = read_state(reader, job, run).await?;
    if let Some(told) = ended(&found) {
        return Ok(ActOutcome::Moved(vec![told]));
    }
    if found.cancel_requested {
        let told = "Somebody else has cancelled the run; the page Requests says who.";
        return Ok(ActOutcome::Moved(vec![told.to_owned()]));
    }
    let row = RunRequest {
        day: day_of(request),
        id: request,
        action: Some("cancel".to_owned()),
        job: Some(job.to_owned()),
        target_run: Some(run),
        requested_by: Some(requested_by(reader.caller)),
        note: Some(why.to_owned()),
        ..RunRequest::default()
    };
    Box::pin(reader.store().insert_run_request(&row)).await?;
    Ok(ActOutcome::Written)
}
