//! `helenus stream status`.

use std::collections::BTreeSet;

use chrono::Utc;
use serde_json::{Value, json};

use super::super::Context;
use crate::{
    failure::Failure,
    inspect::streams::{self, StreamStatus},
    output::{self, Answer},
    store::streams::StreamCounts,
};

/// Show what streams do, how far they are, and what needs attention
///
/// A row for each process that reads a job's topic: its state (starting, running, waiting, paused,
/// stopped) and why; and what the partitions of the topic have left to read. Counts are of today
/// (UTC), over all processes.
///
/// Examples:
///
///     helenus stream status
///     helenus stream status tumour --output json
///
/// JSON result: [{"job", "lag", "members": [{"member", "host", "pid", "version", "topic", "slot",
///   "state", "reason", "waiting_since", "messages_per_s", "started_at", "beat_at"} …],
///   "partitions": [{"topic", "partition", "position", "end_position", "lag", "message_at",
///   "updated_at"} …], "today": {"received", "scored", "rejected", "upserted", "deleted", "ignored",
///   "lost"}, "events": [{"id", "kind", "topic", "what", "evidence", "since"} …]} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job [default: all with a stream]
    #[arg(value_name = "JOB")]
    job: Option<String>,
}

/// Prints the streams.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let today = Utc::now().date_naive();
    let found = streams::status(&store, args.job.as_deref(), today).await?;
    let mut rows = Vec::new();
    for stream in &found {
        let today = counts(stream);
        let states: BTreeSet<&str> = stream
            .members
            .iter()
            .map(|row| row.state.as_str())
            .collect();
        let state = match states.is_empty() {
            true => "not running".to_owned(),
            false => states.into_iter().collect::<Vec<_>>().join(", "),
        };
        let rate: f64 = stream.members.iter().map(|row| row.messages_per_s).sum();
        let reasons = stream.members.iter().filter_map(|row| row.reason.clone());
        let mut why: Vec<String> = stream
            .events
            .iter()
            .map(|event| event.what.clone())
            .collect();
        why.extend(
            reasons.filter(|reason| !stream.events.iter().any(|event| event.what == *reason)),
        );
        why.dedup();
        rows.push([
            stream.job.clone(),
            state,
            stream.members.len().to_string(),
            format!("{rate:.0}/s"),
            stream
                .lag()
                .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            today.received.to_string(),
            today.rejected.to_string(),
            why.join("\n"),
        ]);
    }
    let text = match rows.is_empty() {
        true => "no streams are running; start them with `helenus stream`".to_owned(),
        false => output::table(
            [
                "JOB", "STATE", "MEMBERS", "RATE", "LAG", "TODAY", "REJECTED", "WHY",
            ],
            rows,
        ),
    };
    let result = found.iter().map(as_json).collect();
    Ok(Answer::new(result, text))
}

fn counts(stream: &StreamStatus) -> StreamCounts {
    let mut counts = StreamCounts::default();
    for day in &stream.days {
        counts.add(&day.counts());
    }
    counts
}

fn as_json(stream: &StreamStatus) -> Value {
    let today = counts(stream);
    json!({
        "job": stream.job,
        "lag": stream.lag(),
        "members": stream.members.iter().map(|row| json!({
            "member": row.member.to_string(),
            "host": row.host,
            "pid": row.pid,
            "version": row.version,
            "topic": row.topic,
            "slot": row.slot,
            "state": row.state,
            "reason": row.reason,
            "waiting_since": row.waiting_since,
            "messages_per_s": row.messages_per_s,
            "started_at": row.started_at,
            "beat_at": row.beat_at,
        })).collect::<Vec<_>>(),
        "partitions": stream.positions.iter().map(|row| json!({
            "topic": row.topic,
            "partition": row.partition,
            "position": row.position,
            "end_position": row.end_position,
            "lag": row.lag(),
            "message_at": row.message_at,
            "updated_at": row.updated_at,
        })).collect::<Vec<_>>(),
        "today": {
            "received": today.received,
            "scored": today.scored,
            "rejected": today.rejected,
            "upserted": today.upserted,
            "deleted": today.deleted,
            "ignored": today.ignored,
            "lost": today.lost,
        },
        "events": stream.events.iter().map(|event| json!({
            "id": event.id,
            "kind": event.kind,
            "topic": event.topic,
            "what": event.what,
            "evidence": event.evidence,
            "since": event.since,
        })).collect::<Vec<_>>(),
    })
}
