//! A job's stream: its processes, its partitions, its days, and what happened to it.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, Utc};

use super::streams;
use crate::{
    serve::{
        console::{
            place::{ActPlace, ConsolePlace},
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::streams::{StreamCounts, StreamDay, StreamPosition, StreamRow, events::StreamEvent},
};

/// Days that are shown.
const DAYS: u64 = 30;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str) -> Result<View, ApiError> {
    let first = Utc::now().date_naive() - Days::new(DAYS);
    let positions = reader.read(format!("stream_positions {job}"), {
        let job = job.to_owned();
        |store| async move { store.stream_positions(&job).await }
    });
    let days = reader.read(format!("stream_days {job} {first}"), {
        let job = job.to_owned();
        move |store| async move { store.stream_days(&job, first).await }
    });
    let events = reader.read(format!("stream_events {job}"), {
        let job = job.to_owned();
        |store| async move { store.stream_events(&job).await }
    });
    let members = reader.streams();
    let (positions, days, events, members) = futures::try_join!(positions, days, events, members)?;
    let members: Vec<&StreamRow> = members.iter().filter(|row| row.job == job).collect();
    let mut view = View::new(
        ConsolePlace::Stream(job.to_owned()),
        format!("{job}: stream"),
        "What the job reads from its topic, and how far it is.",
    );
    view.is_live = true;
    let is_paused = members.iter().any(|row| row.state == "paused");
    let resume = super::action_link(
        reader,
        ActPlace::ResumeStream(job.to_owned()),
        "Resume the stream",
    );
    view.acts.extend(resume.filter(|_| is_paused));
    view.notices(streams::notices(&members));
    view.table(member_table(&members));
    view.table(partition_table(&positions));
    view.table(day_table(&days));
    view.table(event_table(&events));
    Ok(view)
}

fn member_table(members: &[&StreamRow]) -> Table {
    let table = Table::new(
        "processes",
        "Processes that read the topic",
        &[
            ("host", "Machine"),
            ("pid", "Process"),
            ("state", "State"),
            ("messages_per_s", "Messages/s"),
            ("received", "Messages since it began"),
            ("scored", "Scored"),
            ("rejected", "Rejected"),
            ("began", "Began (UTC)"),
            ("reported", "Reported (UTC)"),
            ("topic", "Topic"),
            ("version", "helenus"),
        ],
    )
    .or("No process reads a topic for this job (`helenus stream`).");
    table.with(members.iter().map(|row| {
        vec![
            TableCell::text(row.host.clone()),
            TableCell::Code(row.pid.to_string()),
            TableCell::state(&row.state),
            TableCell::Number(row.messages_per_s.round()),
            TableCell::Count(row.received),
            TableCell::Count(row.scored),
            TableCell::Count(row.rejected),
            TableCell::Time(row.started_at),
            TableCell::Time(row.beat_at),
            TableCell::text(row.topic.clone()),
            TableCell::text(row.version.clone()),
        ]
    }))
}

fn partition_table(positions: &[StreamPosition]) -> Table {
    let table = Table::new(
        "partitions",
        "Partitions",
        &[
            ("topic", "Topic"),
            ("partition", "Partition"),
            ("position", "Next offset"),
            ("lag", "Not read yet"),
            ("last", "Last message (UTC)"),
            ("at", "Reported (UTC)"),
        ],
    )
    .or("No partition was read within 30 days.");
    table.with(positions.iter().map(|row| {
        vec![
            TableCell::text(row.topic.clone()),
            TableCell::Count(row.partition.unsigned_abs().into()),
            TableCell::Count(row.position.unsigned_abs()),
            TableCell::optional(row.lag(), |lag| TableCell::Count(lag.unsigned_abs())),
            TableCell::optional(row.message_at, TableCell::Time),
            TableCell::Time(row.updated_at),
        ]
    }))
}

fn day_table(days: &[StreamDay]) -> Table {
    let mut by_day: BTreeMap<NaiveDate, StreamCounts> = BTreeMap::new();
    for row in days {
        by_day.entry(row.day).or_default().add(&row.counts());
    }
    let table = Table::new(
        "days",
        "Messages by day (UTC), newest first",
        &[
            ("day", "Day"),
            ("received", "Received"),
            ("scored", "Scored"),
            ("rejected", "Rejected"),
            ("upserted", "Rows written"),
            ("deleted", "Rows deleted"),
            ("ignored", "Ignored"),
            ("lost", "Lost"),
        ],
    )
    .or("No message came within 30 days.");
    table.with(by_day.into_iter().rev().map(|(day, counts)| {
        let figures = [
            counts.received,
            counts.scored,
            counts.rejected,
            counts.upserted,
            counts.deleted,
            counts.ignored,
            counts.lost,
        ];
        let day = TableCell::text(day.to_string());
        [day]
            .into_iter()
            .chain(figures.map(TableCell::Count))
            .collect()
    }))
}

fn event_table(events: &[StreamEvent]) -> Table {
    let table = Table::new(
        "events",
        "Pauses and losses, newest first",
        &[
            ("since", "Since (UTC)"),
            ("kind", "Kind"),
            ("what", "What"),
            ("topic", "Topic"),
        ],
    )
    .or("The stream was never paused, and lost nothing.");
    table.with(events.iter().map(|event| {
        vec![
            TableCell::optional(event.since, TableCell::Time),
            TableCell::Toned(Tone::Bad, event.kind.clone()),
            TableCell::text(event.what.clone()),
            TableCell::text(event.topic.clone()),
        ]
    }))
}
