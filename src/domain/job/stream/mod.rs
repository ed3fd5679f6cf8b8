//! The manifest's `[stream]`: which messages a job scores, and where its predictions are sent.

pub mod end;
pub mod message;
mod ties;
mod topic;
mod window;

use std::time::Duration;

pub use message::PredictionMessage;
pub use ties::Ties;
pub use topic::TopicPattern;
pub use window::RejectionWindow;

use super::MaxRejected;
use crate::domain::job::manifest::VersionWish;

/// The manifest's `[stream]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamRules {
    /// `[stream.in]`: the messages that `helenus stream` scores.
    pub input: Option<StreamInput>,
    /// `[stream.out]`: the topic of the predictions.
    pub output: Option<StreamOutput>,
}

/// `[stream.in]`: messages, each of which is a row of the source table.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInput {
    pub topic: String,
    /// `format`.
    pub format: MessageFormat,
    /// `envelope = "debezium"`: the row is in `after`.
    pub is_debezium: bool,
    /// `upsert`: whether the row is written into the source table.
    pub is_upserted: bool,
    /// `timestamp`: which of two messages about a row wins.
    pub time: MessageTime,
    /// `deletes = "delete"`: a message without a value deletes its row.
    pub is_deleting: bool,
    /// `max_rejected`: the stream pauses if more messages of a window are rejected.
    pub max_rejected: MaxRejected,
    /// `window`.
    pub window: Duration,
}

/// How the value of a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageFormat {
    Json,
    /// Avro with the number of its schema, as Confluent's serializers write it.
    Avro,
}

/// The time of a message, at which its row is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageTime {
    /// Kafka's own timestamp.
    Message,
    /// A field of the row: milliseconds since 1970, or the text of a CQL timestamp.
    Field(String),
}

/// `[stream.out]`: where predictions are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOutput {
    pub topic: TopicPattern,
    /// `versions`; empty: the version that serves the row, as over HTTP.
    pub versions: Vec<VersionWish>,
    /// `from` has `messages`: predictions of the messages of `[stream.in]`.
    pub from_messages: bool,
    /// `from` has `runs`: predictions that runs store.
    pub from_runs: bool,
    /// `dead_letters`: topic of the messages that are rejected; given if there is a `[stream.in]`.
    pub dead_letters: Option<String>,
}

/// Returns whether Kafka accepts the name of a topic.
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 249
        && !matches!(name, "." | "..")
        && name.chars().all(is_topic_character)
}

/// Returns whether the character may occur in a topic's name.
fn is_topic_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
