//! Why one row cannot be scored, while the run goes on.

use std::fmt;

/// A row's reason, as `lineage.rejected` and `rejected_rows.reason` store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable, for machines: `null`, `inexact`, `nan_output`.
    pub code: &'static str,
    /// One sentence for people, naming the feature or output.
    pub message: String,
}

impl Rejection {
    /// A code and a sentence.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
