//! The reason why a row cannot be scored; the run continues.

use std::fmt;

/// The reason of a rejection, stored in `lineage.rejected` and `rejected_rows.reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable code for machines: `null`, `inexact`, `nan_output`.
    pub code: &'static str,
    /// A sentence for people, which names the feature or output first.
    pub message: String,
}

impl Rejection {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
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
