//! Pause and resume: `jobs.paused`, with who, when and why.

use super::{Act, ActOutcome, Draft, at, because, by, missing, requested_by};
use crate::{
    serve::{
        console::{place::ConsolePlace, read::PageReader},
        error::ApiError,
    },
    store::console::jobs::JobHead,
};

async fn read_state(reader: &PageReader<'_>, job: &str) -> Result<JobHead, ApiError> {
    let revisions = Box::pin(reader.store().job_revisions(job)).await?;
    let found = revisions.into_iter().find(|head| head.revision.is_some());
    found.ok_or_else(|| missing(format!("there is no job `{job}`")))
}

fn describe(head: &JobHead) -> String {
    let did = match head.paused {
        true => "paused",
        false => "resumed",
    };
    match head.paused_by.as_deref() {
        None if !head.paused => "The job is not paused.".to_owned(),
        who => format!(
            "{} {did} the job{}{}.",
            by(who),
            at(head.paused_at),
            because(head.paused_note.as_deref())
        ),
    }
}

/// Returns the form.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, job: &str, to: bool) -> Result<Draft, ApiError> {
    let head = read_state(reader, job).await?;
    let (title, what, button) = match to {
        true => (
            format!("Pause job {job}"),
            vec![
                format!("Triggers start no more runs of job `{job}`."),
                "A run that is under way goes on, and people can still ask for runs.".to_owned(),
                "Predictions grow old while it is paused: new and changed rows wait.".to_owned(),
            ],
            "Pause",
        ),
        false => (
            format!("Resume job {job}"),
            vec![
                format!(
                    "Triggers start runs of job `{job}` again, within seconds where one is due."
                ),
                describe(&head),
            ],
            "Resume",
        ),
    };
    Ok(Draft {
        act: Act::Pause {
            job: job.to_owned(),
            to,
        },
        title,
        what,
        blocked: (head.paused == to).then(|| describe(&head)),
        choice: None,
        button,
        back: ConsolePlace::Job(job.to_owned()),
    })
}

/// Writes the row, unless the job is so already. Two who do the same at once do it once: the later
/// name stays.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    job: &str,
    to: bool,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let head = read_state(reader, job).await?;
    if head.paused == to {
        return Ok(ActOutcome::Moved(vec![describe(&head)]));
    }
    let by = requested_by(reader.caller);
    Box::pin(reader.store().pause_job(job, to, &by, Some(why))).await?;
    Ok(ActOutcome::Written)
}
