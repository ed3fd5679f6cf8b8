//! The failure of a command: exit code, stable error codes, advice.

use crate::domain::problem::Problem;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// Negative result: verify differs, a run failed on its data, a gate does not pass.
    No = 1,
    /// Wrong input: arguments, manifest, model, CSV.
    Input = 2,
    /// Cassandra, the ONNX Runtime library, or a permission.
    System = 3,
    /// Conflict: another run is open, an alias was moved in the meantime.
    Conflict = 4,
    /// The named model, version, job or run does not exist.
    NotFound = 5,
    /// Interrupted; the same command continues the work.
    Interrupted = 130,
}

/// A command's failure: what to print and which code to exit with.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.first().map(Problem::line).unwrap_or_default())]
pub struct Failure {
    pub exit: Exit,
    /// The problems, at least one; the first is the headline and the others are printed after it.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// Creates a failure with one problem.
    pub fn new(exit: Exit, problem: Problem) -> Self {
        Self {
            exit,
            problems: vec![problem],
        }
    }

    /// Returns whether the headline has this code.
    pub fn is(&self, code: &str) -> bool {
        self.problems
            .first()
            .is_some_and(|problem| problem.code == code)
    }

    /// Whether the cause is not what was asked for but Cassandra, a clock, the library or a
    /// permission: another process, or the same one later, may succeed.
    pub fn is_retryable(&self) -> bool {
        self.exit == Exit::System
    }

    /// Wrong input (exit 2).
    pub fn input(problem: Problem) -> Self {
        Self::new(Exit::Input, problem)
    }

    /// Wrong input with several problems (exit 2). `problems` must not be empty.
    pub fn inputs(problems: Vec<Problem>) -> Self {
        Self {
            exit: Exit::Input,
            problems,
        }
    }

    /// Not found (exit 5).
    pub fn not_found(problem: Problem) -> Self {
        Self::new(Exit::NotFound, problem)
    }

    /// Conflict (exit 4).
    pub fn conflict(problem: Problem) -> Self {
        Self::new(Exit::Conflict, problem)
    }

    /// A failure of Cassandra, the ONNX Runtime library or a permission (exit 3).
    pub fn system(problem: Problem) -> Self {
        Self::new(Exit::System, problem)
    }

    /// A negative result (exit 1).
    pub fn no(problem: Problem) -> Self {
        Self::new(Exit::No, problem)
    }
}
