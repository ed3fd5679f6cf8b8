//! Why a split did not finish, and whether it is worth another attempt.

use super::{outbox::SendError, write::WriteError};
use crate::{
    scorer::pool::ScoreError,
    store::driver::error::{StoreError, StoreErrorKind},
};

/// Why a split did not finish.
#[derive(Debug)]
pub enum SplitError {
    /// The lease was lost; another process continues the split.
    Fenced,
    /// This process was asked to stop.
    Stopped,
    /// Cassandra failed; another attempt needs a new epoch.
    Store(StoreError),
    /// Predictions could not be sent to their topic; another attempt needs a new epoch.
    Send(SendError),
    /// The model failed in a way that no single row explains.
    Score(ScoreError),
}

impl From<StoreError> for SplitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<WriteError> for SplitError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Stopped => Self::Stopped,
            WriteError::Store(error) => Self::Store(error),
            WriteError::Send(error) => Self::Send(error),
        }
    }
}

impl std::fmt::Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fenced => f.write_str("the lease was lost"),
            Self::Stopped => f.write_str("stopped on request"),
            Self::Store(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Score(error) => error.fmt(f),
        }
    }
}

impl SplitError {
    /// Returns whether another attempt of this process is pointless.
    pub fn is_hopeless(&self) -> bool {
        match self {
            // Each attempt would cost a scoring thread permanently.
            Self::Score(error) => matches!(error, ScoreError::Unstoppable { .. }),
            Self::Store(error) => !error.kind.may_pass(),
            // It was tried for half a minute already.
            Self::Send(_) => true,
            Self::Stopped | Self::Fenced => false,
        }
    }

    /// Returns whether another process may succeed with the split.
    pub fn may_succeed_elsewhere(&self) -> bool {
        match self {
            Self::Store(error) => error.kind == StoreErrorKind::Denied || error.kind.may_pass(),
            Self::Send(error) => !error.is_lasting,
            _ => false,
        }
    }
}
