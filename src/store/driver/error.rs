//! Classifies failed statements by what they mean for the caller.

use crate::{domain::problem::Problem, failure::Failure};
use scylla::errors::{
    DbError, ExecutionError, PrepareError, RequestAttemptError, UseKeyspaceError,
};

/// A statement that failed, with its CQL.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {detail} [{cql}]")]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// The message of the driver or the server.
    pub detail: String,
    /// The statement, or what was attempted.
    pub cql: String,
}

/// A failed attempt, for code that retries.
#[derive(Debug)]
pub struct Failed {
    pub error: StoreError,
    pub cause: Cause,
}

/// What a failed attempt shows about Cassandra.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Cassandra reported too much load (overloaded, or over a rate limit).
    Overloaded,
    /// Replicas did not acknowledge a write in time.
    WriteTimeout,
    /// Replicas did not answer a read in time.
    ReadTimeout,
    /// The coordinator did not answer in time.
    NoAnswer,
    /// Too few replicas are alive.
    Unavailable,
    /// There is no connection, or it broke.
    Connection,
    Other,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::WriteTimeout => "write_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Connection => "connection",
            Self::Other => "other",
        }
    }

    fn from_error(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::RequestTimeout(_) => Self::NoAnswer,
            ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan => Self::Connection,
            ExecutionError::LastAttemptError(error) => match error {
                RequestAttemptError::BrokenConnectionError(_)
                | RequestAttemptError::UnableToAllocStreamId => Self::Connection,
                RequestAttemptError::DbError(error, _) => match error {
                    DbError::Overloaded | DbError::RateLimitReached { .. } => Self::Overloaded,
                    DbError::WriteTimeout { .. } => Self::WriteTimeout,
                    DbError::ReadTimeout { .. } => Self::ReadTimeout,
                    DbError::Unavailable { .. } => Self::Unavailable,
                    _ => Self::Other,
                },
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl Failed {
    /// Converts the driver's error about this statement.
    pub fn execution(error: &ExecutionError, cql: &str) -> Self {
        Self {
            error: StoreError::execution(error, cql),
            cause: Cause::from_error(error),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            cause: Cause::Other,
        }
    }
}

/// What may be concluded from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Certainly not applied; a later retry may succeed (unavailable, no connection).
    Unavailable,
    /// May have been applied: time-out, broken connection, overload.
    Unknown,
    /// The server will never accept it: syntax, types, too large a batch.
    Invalid,
    /// Table, keyspace or column is missing.
    Missing,
    /// Credentials or GRANTs.
    Denied,
    /// A read found more tombstones than Cassandra allows.
    Tombstones,
    /// The index that a read needs is still being built.
    NotBuilt,
    /// Another process holds the lease.
    Held,
    /// What was read is not what helenus wrote.
    Corrupt,
}

impl std::fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "Cassandra is unavailable",
            Self::Unknown => "Cassandra did not answer",
            Self::Invalid => "Cassandra refused the statement",
            Self::Missing => "not in the schema",
            Self::Denied => "permission denied",
            Self::Tombstones => "too many tombstones",
            Self::NotBuilt => "the index is still being built",
            Self::Held => "held by another process",
            Self::Corrupt => "unexpected content",
        })
    }
}

impl StoreErrorKind {
    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::DbError(error, message) => match error {
                DbError::Unavailable { .. } | DbError::IsBootstrapping => Self::Unavailable,
                // The driver has prepared it again, and a busy server has evicted it again: it was
                // not executed.
                DbError::Unprepared { .. } => Self::Unavailable,
                DbError::Unauthorized | DbError::AuthenticationError => Self::Denied,
                DbError::ReadFailure { .. }
                    if message.to_ascii_lowercase().contains("tombstone") =>
                {
                    Self::Tombstones
                }
                // INDEX_NOT_AVAILABLE, in later versions INDEX_BUILD_IN_PROGRESS.
                DbError::ReadFailure { .. } if message.contains(": INDEX_") => Self::NotBuilt,
                DbError::Invalid | DbError::ConfigError
                    if message.contains("unconfigured table")
                        || message.contains("does not exist")
                        || message.contains("Undefined column")
                        || message.contains("Unknown identifier") =>
                {
                    Self::Missing
                }
                DbError::SyntaxError
                | DbError::Invalid
                | DbError::ConfigError
                | DbError::AlreadyExists { .. }
                | DbError::FunctionFailure { .. } => Self::Invalid,
                _ => Self::Unknown,
            },
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_) => Self::Invalid,
            _ => Self::Unknown,
        }
    }

    fn of_execution(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::LastAttemptError(error) => Self::of_attempt(error),
            ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
                // A statement that was not prepared was not applied.
                match Self::of_attempt(first_attempt) {
                    Self::Unknown => Self::Unavailable,
                    kind => kind,
                }
            }
            ExecutionError::BadQuery(_) => Self::Invalid,
            ExecutionError::EmptyPlan
            | ExecutionError::ConnectionPoolError(_)
            | ExecutionError::PrepareError(_) => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

impl StoreError {
    /// Converts the driver's error about this statement.
    pub fn execution(error: &ExecutionError, cql: &str) -> Self {
        Self::new(StoreErrorKind::of_execution(error), error.to_string(), cql)
    }

    /// Converts the driver's error about `USE keyspace`.
    pub(in crate::store) fn use_keyspace(error: &UseKeyspaceError, keyspace: &str) -> Self {
        let kind = match error {
            UseKeyspaceError::RequestError(error) => StoreErrorKind::of_attempt(error),
            UseKeyspaceError::RequestTimeout(_) => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Invalid,
        };
        Self::new(kind, error.to_string(), &format!("USE \"{keyspace}\""))
    }

    /// Returns an error from its kind, the details, and the statement or what was attempted.
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>, cql: &str) -> Self {
        Self {
            kind,
            detail: detail.into(),
            cql: cql.to_owned(),
        }
    }

    /// Returns an error for rows that do not decode as the schema says.
    pub fn corrupt(detail: impl Into<String>, cql: &str) -> Self {
        Self::new(StoreErrorKind::Corrupt, detail, cql)
    }

    /// Returns an error for a write that is not found when it is read back.
    pub fn unknown(detail: impl Into<String>, cql: &str) -> Self {
        Self::new(StoreErrorKind::Unknown, detail, cql)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (code, help) = match error.kind {
            StoreErrorKind::Unavailable => (
                "cassandra.unavailable",
                "are enough nodes up? `helenus doctor` looks",
            ),
            StoreErrorKind::Unknown => (
                "cassandra.no_answer",
                "the outcome is not known; the same command may be run again",
            ),
            StoreErrorKind::Invalid => (
                "cassandra.refused",
                "this is a mistake of helenus if you did not write that statement",
            ),
            StoreErrorKind::Missing => ("schema.missing", "run `helenus migrate`"),
            StoreErrorKind::Denied => (
                "cassandra.denied",
                "GRANT the login what it needs, or use another; `helenus doctor` lists it",
            ),
            StoreErrorKind::Tombstones => (
                "cassandra.tombstones",
                "compaction after gc_grace removes them",
            ),
            StoreErrorKind::NotBuilt => (
                "cassandra.index_not_built",
                "try again later: Cassandra builds it from all rows of the table",
            ),
            StoreErrorKind::Held => (
                "lease.held",
                "wait for it, or see what that process is doing",
            ),
            StoreErrorKind::Corrupt => {
                ("store.corrupt", "was the table altered or written by hand?")
            }
        };
        let problem = Problem::new(code, error.to_string()).help(help);
        match error.kind {
            StoreErrorKind::Held => Failure::conflict(problem),
            _ => Failure::system(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics;

    #[test]
    fn every_cause_is_a_value_of_the_metric() {
        let attempt = |error| {
            let error = RequestAttemptError::DbError(error, String::new());
            Cause::from_error(&ExecutionError::LastAttemptError(error))
        };
        let causes = [
            attempt(DbError::Overloaded),
            attempt(DbError::ServerError),
            attempt(DbError::Unavailable {
                consistency: scylla::statement::Consistency::Quorum,
                required: 2,
                alive: 1,
            }),
            Cause::from_error(&ExecutionError::RequestTimeout(Duration::from_secs(30))),
            Cause::from_error(&ExecutionError::EmptyPlan),
            Cause::WriteTimeout,
            Cause::ReadTimeout,
        ];
        assert_eq!(
            causes[..5],
            [
                Cause::Overloaded,
                Cause::Other,
                Cause::Unavailable,
                Cause::NoAnswer,
                Cause::Connection
            ]
        );
        let (_, values) = metrics::RETRIES.labels[0];
        for cause in causes {
            assert!(values.contains(&cause.as_str()), "{cause:?}");
        }
        assert_eq!(values.len(), causes.len());
    }

    #[test]
    fn a_statement_that_the_server_let_go_again_was_not_executed() {
        let error = DbError::Unprepared {
            statement_id: Default::default(),
        };
        let error = RequestAttemptError::DbError(error, String::new());
        let kind = StoreErrorKind::of_execution(&ExecutionError::LastAttemptError(error));
        assert_eq!(kind, StoreErrorKind::Unavailable);
        assert!(kind.may_pass());
    }
}
