//! The streams: whether they read, and how far they are.

use std::collections::BTreeMap;

use crate::{
    serve::{
        caller::Right,
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::streams::{StreamPosition, StreamRow},
};

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>) -> Result<View, ApiError> {
    let streams = reader.read("streams now".to_owned(), |store| store.streams());
    let positions = reader.read("all_stream_positions".to_owned(), |store| {
        store.all_stream_positions()
    });
    let (streams, positions) = futures::try_join!(streams, positions)?;
    let mut by_job: BTreeMap<&str, Vec<&StreamRow>> = BTreeMap::new();
    // A stream that nobody reads has positions only.
    for job in positions.iter().map(|position| position.job.as_str()) {
        by_job.entry(job).or_default();
    }
    for member in streams.iter() {
        by_job.entry(&member.job).or_default().push(member);
    }
    by_job.retain(|job, _| reader.caller.check_job(Right::Read, job).is_ok());
    let mut view = View::new(
        ConsolePlace::Streams,
        "Streams",
        "Jobs that read a Kafka topic, as their processes last reported.",
    );
    view.is_live = true;
    view.notices(
        by_job
            .values()
            .flat_map(|members| notices(members))
            .collect(),
    );
    let table = Table::new(
        "streams",
        "Streams",
        &[
            ("job", "Job"),
            ("state", "State"),
            ("processes", "Processes"),
            ("messages_per_s", "Messages/s"),
            ("lag", "Not read yet"),
            ("last", "Last message (UTC)"),
            ("why", "Why"),
        ],
    )
    .or("No job reads a topic: `helenus stream` does, for jobs whose manifest has [stream.in].");
    view.table(
        table.with(
            by_job
                .iter()
                .map(|(job, members)| row(job, members, &positions)),
        ),
    );
    Ok(view)
}

/// Returns why members are paused or wait, a sentence each.
pub fn notices(members: &[&StreamRow]) -> Vec<(Tone, String)> {
    let mut notices: Vec<(Tone, String)> = Vec::new();
    for member in members {
        let tone = match member.state.as_str() {
            "paused" => Tone::Bad,
            _ => Tone::Warn,
        };
        if let Some(reason) = &member.reason {
            let notice = (tone, format!("{}: {reason}", member.job));
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
    }
    notices
}

/// Returns the states of a stream's members, each once.
pub fn states(members: &[&StreamRow]) -> TableCell {
    let mut states: Vec<&str> = members.iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    states.dedup();
    match states.as_slice() {
        [] => TableCell::Toned(Tone::Warn, "not running".to_owned()),
        [state] => TableCell::state(state),
        states => TableCell::List(states.iter().map(|state| TableCell::state(state)).collect()),
    }
}

fn row(job: &str, members: &[&StreamRow], positions: &[StreamPosition]) -> Vec<TableCell> {
    let own = || positions.iter().filter(|position| position.job == job);
    let lag = own()
        .filter_map(StreamPosition::lag)
        .reduce(|all, lag| all + lag);
    let last = own().filter_map(|position| position.message_at).max();
    let rate: f64 = members.iter().map(|row| row.messages_per_s).sum();
    let mut reasons: Vec<&str> = members
        .iter()
        .filter_map(|row| row.reason.as_deref())
        .collect();
    reasons.dedup();
    vec![
        TableCell::link(ConsolePlace::Stream(job.to_owned()).path(), job),
        states(members),
        TableCell::Count(members.len() as u64),
        TableCell::Number(rate.round()),
        TableCell::optional(lag, |lag| TableCell::Count(lag.unsigned_abs())),
        TableCell::optional(last, TableCell::Time),
        TableCell::text(reasons.join("; ")),
    ]
}
