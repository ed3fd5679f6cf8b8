//! A user's mistake, with its place and a remedy.

use serde::{Deserialize, Serialize};

/// A mistake in what a person gave (a manifest, a file, a row, a command line).
///
/// Validation collects all problems before it returns, so that they can be fixed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Stable code for machines: `job.unknown_column`, `model.external_data`.
    pub code: String,
    /// What is wrong, in one sentence that names the thing.
    pub message: String,
    /// Where it is: a manifest key, `file.csv:12:3`, a column.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl Problem {
    /// Returns a problem without place and help.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            place: None,
            help: None,
        }
    }

    /// Adds the place.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds the remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Formats message, place and help on one line, for a status row.
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

    /// Formats the code and the line, as `job_status.problems` has them.
    pub fn coded_line(&self) -> String {
        format!("{}: {}", self.code, self.line())
    }
}
