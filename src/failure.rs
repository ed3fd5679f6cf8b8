//! How a command ends when it does not end well: exit code, stable code, advice.

use crate::domain::problem::Problem;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Answered no: verify differs, a run failed on its data, a gate fails.
    No = 1,
    /// Wrong input: arguments, manifest, model, CSV.
    Input = 2,
    /// Cassandra, the ONNX Runtime library, or a permission.
    System = 3,
    /// Conflict: another run is open, an alias moved meanwhile.
    Conflict = 4,
    /// Not found.
    NotFound = 5,
    /// Interrupted; the same command resumes.
    Interrupted = 130,
}

/// A command's failure: what to print and which code to exit with.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.first().map(Problem::line).unwrap_or_default())]
pub struct Failure {
    /// What the process exits with.
    pub exit: Exit,
    /// At least one; the first is the headline, the others are printed after it.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// One problem with an exit code.
    pub fn new(exit: Exit, problem: Problem) -> Self {
        Self {
            exit,
            problems: vec![problem],
        }
    }

    /// Whether the headline has this code.
    pub fn is(&self, code: &str) -> bool {
        self.problems
            .first()
            .is_some_and(|problem| problem.code == code)
    }

    /// Wrong input (exit 2).
    pub fn input(problem: Problem) -> Self {
        Self::new(Exit::Input, problem)
    }

    /// Many mistakes of the input at once (exit 2). `problems` must not be empty.
    pub fn inputs(problems: Vec<Problem>) -> Self {
        Self {
            exit: Exit::Input,
            problems,
        }
    }

    /// Nothing by that name (exit 5).
    pub fn not_found(problem: Problem) -> Self {
        Self::new(Exit::NotFound, problem)
    }

    /// Conflict (exit 4).
    pub fn conflict(problem: Problem) -> Self {
        Self::new(Exit::Conflict, problem)
    }

    /// Cassandra, library or permission (exit 3).
    pub fn system(problem: Problem) -> Self {
        Self::new(Exit::System, problem)
    }

    /// Answered no (exit 1).
    pub fn no(problem: Problem) -> Self {
        Self::new(Exit::No, problem)
    }
}
