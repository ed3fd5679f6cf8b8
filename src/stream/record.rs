//! The messages that a stream sends: predictions and dead letters.

use rdkafka::{
    Message,
    message::{Headers, OwnedMessage},
};

use crate::domain::{
    job::stream::message::{ERROR, ERROR_CODE, EncodedMessage, SOURCE},
    problem::Problem,
};

/// Longest error text in a header.
const MAX_ERROR: usize = 1_000;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Index of the message of the batch that it is about.
    pub message: usize,
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub is_dead_letter: bool,
}

impl OutgoingMessage {
    /// Returns the message of a prediction. `source` is what was scored.
    pub fn prediction(
        message: usize,
        topic: String,
        encoded: EncodedMessage,
        source: &str,
    ) -> Self {
        let headers = encoded.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        let mut headers: Vec<_> = headers.collect();
        headers.push(text(SOURCE, source));
        Self {
            message,
            topic,
            key: Some(encoded.key),
            value: Some(encoded.value),
            headers,
            is_dead_letter: false,
        }
    }

    /// Returns a message that was rejected: as it came, with the reason in its headers.
    pub fn dead_letter(
        at: usize,
        topic: &str,
        message: &OwnedMessage,
        source: &str,
        problem: &Problem,
    ) -> Self {
        let own = message.headers().into_iter().flat_map(Headers::iter);
        let own = own.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
        let mut headers: Vec<_> = own.collect();
        headers.push(text(ERROR_CODE, &problem.code));
        headers.push(text(ERROR, clipped(&problem.message)));
        headers.push(text(SOURCE, source));
        Self {
            message: at,
            topic: topic.to_owned(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
            is_dead_letter: true,
        }
    }

    /// Removes the value of a dead letter that its topic does not take; the message itself is where
    /// `helenus-source` says.
    pub fn without_value(&mut self) {
        let bytes = self.value.take().map_or(0, |value| value.len());
        let note = format!("{bytes} bytes, more than topic `{}` takes", self.topic);
        self.headers.push(text("helenus-value-omitted", &note));
    }
}

fn text(name: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

fn clipped(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_ERROR);
    end.map_or(text, |(end, _)| &text[..end])
}
