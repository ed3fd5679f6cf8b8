//! Validates `[stream]`.

use std::time::Duration;

use super::{
    VersionWish,
    check::check_each_once,
    problems::Problems,
    read::{RawStream, RawStreamInput, RawStreamOutput},
};
use crate::domain::{
    duration,
    job::stream::{
        MessageFormat, MessageTime, StreamInput, StreamOutput, StreamRules, TopicPattern,
        is_topic_name,
    },
    model::alias::CHAMPION,
    percent::Percent,
};

/// Default for `max_rejected`: a stream that rejects more does not hold what its job expects.
const MAX_REJECTED: Percent = Percent::TEN;
/// Default for `window`.
const WINDOW: &str = "1m";

pub(super) fn check_stream(
    raw: RawStream,
    versions: &[VersionWish],
    reads_predictions: bool,
    p: &mut Problems,
) -> StreamRules {
    let input = raw.input.map(|input| check_input(input, p));
    let output = raw.output.map(|output| check_output(output, versions, p));
    if let Some(input) = &input {
        if input.is_upserted && reads_predictions {
            p.report(
                "stream.in.upsert",
                "the source is a prediction table, which only helenus writes",
                "remove `upsert`",
            );
        }
        let is_answered = output.as_ref().is_some_and(|output| output.from_messages);
        if !is_answered && !input.is_upserted {
            p.report(
                "stream.in",
                "the messages are neither scored nor stored",
                "add \"messages\" to `from` of [stream.out], or upsert = true",
            );
        }
        if output
            .as_ref()
            .is_none_or(|output| output.dead_letters.is_none())
        {
            p.report(
                "stream.out.dead_letters",
                "messages that are rejected would be lost",
                "name the topic that gets them",
            );
        }
    }
    if let Some(output) = &output {
        if output.from_messages && input.is_none() {
            p.report(
                "stream.out.from",
                "there are no messages to score",
                "add [stream.in], or write from = [\"runs\"]",
            );
        }
        check_loops(input.as_ref(), output, p);
    }
    StreamRules { input, output }
}

fn check_input(raw: RawStreamInput, p: &mut Problems) -> StreamInput {
    check_topic("stream.in.topic", &raw.topic, p);
    let is_deleting = p.word(
        "stream.in.deletes",
        raw.deletes.as_deref().unwrap_or("ignore"),
        &[("ignore", false), ("delete", true)],
    );
    if is_deleting && !raw.upsert {
        p.report(
            "stream.in.deletes",
            "rows are only deleted where they are also written",
            "add upsert = true",
        );
    }
    let window = raw.window.as_deref().unwrap_or(WINDOW);
    let window = match duration::parse(window) {
        Ok(window) if window >= Duration::from_secs(1) => window,
        Ok(_) => {
            let message = format!("the window `{window}` is shorter than a second");
            p.report("stream.in.window", message, "write \"1m\" or \"1h\"");
            Duration::from_secs(60)
        }
        Err(message) => {
            p.report("stream.in.window", message, "write \"1m\" or \"1h\"");
            Duration::from_secs(60)
        }
    };
    StreamInput {
        format: p.word(
            "stream.in.format",
            raw.format.as_deref().unwrap_or("json"),
            &[("json", MessageFormat::Json), ("avro", MessageFormat::Avro)],
        ),
        is_debezium: p.word(
            "stream.in.envelope",
            raw.envelope.as_deref().unwrap_or("none"),
            &[("none", false), ("debezium", true)],
        ),
        is_upserted: raw.upsert,
        time: match raw.timestamp.as_deref() {
            None | Some("message") => MessageTime::Message,
            Some("") => {
                p.report(
                    "stream.in.timestamp",
                    "the field has no name",
                    "write \"message\", or the name of a field of the row",
                );
                MessageTime::Message
            }
            Some(field) => MessageTime::Field(field.to_owned()),
        },
        is_deleting,
        max_rejected: p.max_rejected("stream.in.max_rejected", raw.max_rejected, MAX_REJECTED),
        window,
        topic: raw.topic,
    }
}

fn check_output(raw: RawStreamOutput, versions: &[VersionWish], p: &mut Problems) -> StreamOutput {
    let topic = TopicPattern::parse(&raw.topic).unwrap_or_else(|message| {
        p.report("stream.out.topic", message, TOPIC_HELP);
        TopicPattern::default()
    });
    check_each_once(&raw.versions, "stream.out.versions", p);
    for version in raw.versions.iter().filter(|it| !versions.contains(it)) {
        p.report(
            "stream.out.versions",
            format!("the job does not score version {version}"),
            "name versions that `versions` names",
        );
    }
    let from = raw.from.unwrap_or_else(|| vec!["messages".to_owned()]);
    let (mut from_messages, mut from_runs) = (false, false);
    for word in &from {
        let is_runs = p.word(
            "stream.out.from",
            word,
            &[("messages", false), ("runs", true)],
        );
        match is_runs {
            true => from_runs = true,
            false => from_messages = true,
        }
    }
    if from.is_empty() {
        p.report(
            "stream.out.from",
            "`from` is empty",
            "write \"messages\", \"runs\" or both",
        );
    }
    if from_runs {
        check_runs(&raw.versions, versions, p);
        if topic.column().is_some() && raw.dead_letters.is_none() {
            p.report(
                "stream.out.dead_letters",
                "a rejected row has no label, so no topic for it is known",
                "name a topic for the rows that runs reject",
            );
        }
    }
    if let Some(topic) = &raw.dead_letters {
        check_topic("stream.out.dead_letters", topic, p);
    }
    StreamOutput {
        topic,
        versions: raw.versions,
        from_messages,
        from_runs,
        dead_letters: raw.dead_letters,
    }
}

/// Without `[stream.out] versions`, the version that serves a row must be among the job's.
fn check_runs(sent: &[VersionWish], versions: &[VersionWish], p: &mut Problems) {
    let is_champion = |wish: &VersionWish| *wish == VersionWish::Alias(CHAMPION.to_owned());
    if sent.is_empty() && versions.len() > 1 && !versions.iter().any(is_champion) {
        p.report(
            "stream.out.versions",
            "runs score several versions, and none of them is the champion",
            "name the versions whose predictions are sent",
        );
    }
}

/// A stream that reads what it writes would never end.
fn check_loops(input: Option<&StreamInput>, output: &StreamOutput, p: &mut Problems) {
    let Some(input) = input else { return };
    let mut report = |place: &str| {
        p.report(
            place,
            format!(
                "the stream would read its own messages from `{}`",
                input.topic
            ),
            "name another topic",
        );
    };
    if output.topic.column().is_none() && output.topic.topic_for("") == input.topic.as_str() {
        report("stream.out.topic");
    }
    if output.dead_letters.as_deref() == Some(input.topic.as_str()) {
        report("stream.out.dead_letters");
    }
}

const TOPIC_HELP: &str = "use letters, digits, `.`, `_` and `-`, at most 249 of them";

fn check_topic(place: &str, topic: &str, p: &mut Problems) {
    if !is_topic_name(topic) {
        p.report(
            place,
            format!("`{topic}` is not a valid topic name"),
            TOPIC_HELP,
        );
    }
}
