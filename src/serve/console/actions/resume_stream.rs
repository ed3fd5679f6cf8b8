//! Resume a paused stream: rows of `stream_acks`.

use uuid::Uuid;

use super::{Act, ActOutcome, Draft, requested_by};
use crate::{
    serve::{
        console::{place::ConsolePlace, read::PageReader},
        error::ApiError,
    },
    store::streams::events::StreamEvent,
};

/// Returns the form. It acknowledges the events that its reader sees, and no others.
///
/// # Errors
/// Those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, job: &str) -> Result<Draft, ApiError> {
    let events = Box::pin(reader.store().open_stream_events(job)).await?;
    let is_paused = events.iter().any(|event| event.kind == StreamEvent::PAUSED);
    let mut what: Vec<String> = events.iter().map(|event| event.what.clone()).collect();
    if is_paused {
        what.push("The stream goes on reading where it stopped.".to_owned());
        what.push("For the time of its window it rejects as many messages as come; they go to the dead letters.".to_owned());
    }
    Ok(Draft {
        act: Act::ResumeStream {
            job: job.to_owned(),
            events: events.iter().map(|event| event.id).collect(),
        },
        title: format!("Resume the stream of job {job}"),
        what,
        blocked: (!is_paused).then(|| format!("The stream of job `{job}` is not paused.")),
        choice: None,
        button: "Resume the stream",
        back: ConsolePlace::Stream(job.to_owned()),
    })
}

/// Writes the rows, unless they are there: written by another person, or by this form when its answer
/// was lost.
///
/// # Errors
/// Those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    job: &str,
    seen: &[Uuid],
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let open = Box::pin(reader.store().open_stream_events(job)).await?;
    let paused = |event: &StreamEvent| event.kind == StreamEvent::PAUSED;
    if !open
        .iter()
        .any(|event| paused(event) && seen.contains(&event.id))
    {
        let now = match open.iter().any(paused) {
            true => "It is paused for another reason now.",
            false => "It is not paused now.",
        };
        let message = format!("The stream of job `{job}` was resumed meanwhile. {now}");
        return Ok(ActOutcome::Moved(vec![message]));
    }
    let by = requested_by(reader.caller);
    for event in open.iter().filter(|event| seen.contains(&event.id)) {
        let store = reader.store();
        Box::pin(store.acknowledge_stream_event(job, event.id, &by, Some(why))).await?;
    }
    Ok(ActOutcome::Written)
}
