//! The reason why a row cannot be scored; the run continues.

use std::{borrow::Cow, fmt};

/// The reason of a rejection, stored in `lineage.rejected` and `rejected_rows.reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable code for machines: `null`, `inexact`, `nan_output`.
    pub code: Cow<'static, str>,
    /// A sentence for people, which names the feature or output first.
    pub message: String,
}

impl Rejection {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// Reads what another process displayed. A text without a code gets `unprepared`.
    pub fn parse(text: &str) -> Self {
        let (code, message) = text.split_once(": ").unwrap_or(("unprepared", text));
        Self {
            code: code.to_owned().into(),
            message: message.to_owned(),
        }
    }

    /// Returns the feature or output: the first quoted name in the message.
    pub fn subject(&self) -> &str {
        self.message.split('`').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
