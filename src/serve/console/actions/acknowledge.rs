//! Acknowledge: a row of `alarm_acks`.

use uuid::Uuid;

use super::{Act, ActOutcome, Draft, at, because, by, missing, requested_by};
use crate::{
    domain::alarm::Alarm,
    serve::{
        console::{place::ConsolePlace, read::PageReader},
        error::ApiError,
    },
};

async fn read_state(
    reader: &PageReader<'_>,
    job: &str,
    id: Uuid,
) -> Result<(Alarm, Option<String>), ApiError> {
    let alarm = Box::pin(reader.store().alarm(job, id)).await?;
    let alarm = alarm.ok_or_else(|| missing(format!("job `{job}` has no alarm {id}")))?;
    let acks = Box::pin(reader.store().alarm_acks(job)).await?;
    let ack = acks.iter().find(|ack| ack.id == id).map(|ack| {
        format!(
            "{} acknowledged the alarm{}{}.",
            by(ack.acknowledged_by.as_deref()),
            at(ack.acknowledged_at),
            because(ack.note.as_deref())
        )
    });
    let closed = alarm.closed_at.map(|_| {
        let closed = at(alarm.closed_at);
        format!("The alarm was closed{closed}: its condition is gone.")
    });
    Ok((alarm, closed.or(ack)))
}

/// Returns the form.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn draft(reader: &PageReader<'_>, job: &str, id: Uuid) -> Result<Draft, ApiError> {
    let (alarm, known) = read_state(reader, job, id).await?;
    let what = vec![
        format!(
            "{}{}: {}",
            alarm.kind.replace('_', " "),
            at(alarm.since),
            alarm.what
        ),
        "You say that you know of it. It stays open until its condition is gone.".to_owned(),
        "`helenus status` and the console no longer count it as new.".to_owned(),
    ];
    Ok(Draft {
        act: Act::Acknowledge {
            job: job.to_owned(),
            alarm: id,
        },
        title: format!("Acknowledge an alarm of job {job}"),
        what,
        blocked: known,
        choice: None,
        button: "Acknowledge",
        back: ConsolePlace::Alarms,
    })
}

/// Writes the row, unless somebody else did, or the alarm is closed.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    job: &str,
    id: Uuid,
    why: &str,
) -> Result<ActOutcome, ApiError> {
    let (_, known) = read_state(reader, job, id).await?;
    if let Some(told) = known {
        return Ok(ActOutcome::Moved(vec![told]));
    }
    let by = requested_by(reader.caller);
    Box::pin(reader.store().acknowledge_alarm(job, id, &by, Some(why))).await?;
    Ok(ActOutcome::Written)
}
