//! What people must know of a stream, as rows of `stream_events`.

use chrono::Utc;

use super::{member::StreamMember, reader::Lost, report::StreamState};
use crate::{
    domain::job::stream::StreamRules,
    process,
    store::streams::{StreamCounts, events::StreamEvent},
};

/// More messages were rejected than the rules permit.
pub struct Excess<'a> {
    /// Messages within the window.
    pub received: u64,
    pub rejected: u64,
    /// Why one of them was rejected.
    pub sample: &'a str,
}

/// Asks people whether the stream may go on.
pub async fn paused(member: &StreamMember, rules: &StreamRules, excess: &Excess<'_>) {
    let Excess {
        received,
        rejected,
        sample,
    } = excess;
    let input = rules.input.as_ref();
    let window = input.map(|input| input.window.as_secs());
    let window = window.unwrap_or_default();
    let topic = input.map(|input| input.topic.as_str()).unwrap_or_default();
    let what = format!(
        "{rejected} of {received} messages of topic `{topic}` were rejected within {window} s, such as {sample}"
    );
    let evidence = [
        ("received", received.to_string()),
        ("rejected", rejected.to_string()),
        ("first", (*sample).to_owned()),
    ];
    let event = event(member, StreamEvent::PAUSED, topic, what, evidence);
    write(member, &event).await;
    member.report.state(StreamState::Paused, Some(&event.what));
}

/// Says that messages were gone from the topic before they were read, and counts them.
pub async fn lost(member: &StreamMember, topic: &str, lost: &Lost) {
    let (from, to) = (lost.from, lost.to);
    let what = match from < to {
        true => format!(
            "offsets {from} to {} of partition {} of topic `{topic}` were deleted before they were read",
            to - 1,
            lost.partition
        ),
        false => format!(
            "partition {} of topic `{topic}` ends before offset {from}, up to which it was read: it is read again from {to}",
            lost.partition
        ),
    };
    let count = u64::try_from(to - from).unwrap_or_default();
    member.report.count(&StreamCounts {
        lost: count,
        ..StreamCounts::default()
    });
    tracing::error!(job = member.job, "{what}");
    let evidence = [
        ("partition", lost.partition.to_string()),
        ("from", from.to_string()),
        ("to", to.to_string()),
    ];
    let event = event(member, StreamEvent::LOST, topic, what, evidence);
    write(member, &event).await;
}

fn event<const N: usize>(
    member: &StreamMember,
    kind: &str,
    topic: &str,
    what: String,
    evidence: [(&str, String); N],
) -> StreamEvent {
    let evidence = evidence.map(|(name, value)| (name.to_owned(), value));
    StreamEvent {
        job: member.job.clone(),
        id: process::timeuuid(),
        kind: kind.to_owned(),
        topic: topic.to_owned(),
        what,
        evidence: evidence.into(),
        member: Some(member.report.member),
        since: Some(Utc::now()),
    }
}

async fn write(member: &StreamMember, event: &StreamEvent) {
    // Retried by the store; what happens again is said again.
    if let Err(error) = member.serving.store.write_stream_event(event).await {
        tracing::error!(job = member.job, %error, what = event.what, "could not be recorded");
    }
}
