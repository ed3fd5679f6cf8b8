//! One thing that is wrong, said so that its reader can mend it.

use serde::{Deserialize, Serialize};

/// A mistake in what a person gave (a manifest, a file, a row, a command line).
///
/// Validation collects all problems before it answers, so a person mends them in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Stable, for machines: `job.unknown_column`, `model.external_data`.
    pub code: String,
    /// What is wrong, in one sentence, naming the thing.
    pub message: String,
    /// Where: a manifest key, `file.csv:12:3`, a column.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl Problem {
    /// A problem with its stable code and one sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            place: None,
            help: None,
        }
    }

    /// Adds where it was found.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// One line for a status row: message, place and help together.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        if let Some(place) = &self.place {
            line = format!("{place}: {line}");
        }
        if let Some(help) = &self.help {
            line = format!("{line} ({help})");
        }
        line
    }
}
