//! What the worker answers to a request.

use std::fmt;

use uuid::Uuid;

use super::{problem::Problem, spelling::spelled};

/// `answers.answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// A run was opened for the request, or its cancellation was noted.
    Accepted,
    /// The request shares a run that another one asked for.
    Joined,
    /// What was asked for is done.
    Done,
    /// It cannot be done as it was asked for.
    Refused,
    /// It was not answered for so long that nobody waits for it any more.
    Expired,
}

spelled! {
    AnswerKind {
        Accepted => "accepted",
        Joined => "joined",
        Done => "done",
        Refused => "refused",
        Expired => "expired",
    }
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to a request, as `answers` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAnswer {
    /// What came of it.
    pub kind: AnswerKind,
    /// Why, or what was done.
    pub reason: Option<String>,
    /// The run that was opened, joined or meant.
    pub run_id: Option<Uuid>,
}

impl RequestAnswer {
    /// Without a run.
    pub fn new(kind: AnswerKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: Some(reason.into()),
            run_id: None,
        }
    }

    /// Of this run.
    pub fn of_run(kind: AnswerKind, run_id: Uuid, reason: Option<String>) -> Self {
        Self {
            kind,
            reason,
            run_id: Some(run_id),
        }
    }

    /// What was asked for is done.
    pub fn done(reason: impl Into<String>) -> Self {
        Self::new(AnswerKind::Done, reason)
    }

    /// It cannot be done.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::new(AnswerKind::Refused, reason)
    }

    /// It cannot be done, for this reason.
    pub fn refused_for(problem: &Problem) -> Self {
        Self::refused(problem.line())
    }

    /// As stored. A text that no helenus writes refuses: it must not be taken for a success.
    pub fn from_columns(kind: Option<&str>, reason: Option<String>, run_id: Option<Uuid>) -> Self {
        match AnswerKind::parse(kind.unwrap_or_default()) {
            Some(kind) => Self {
                kind,
                reason,
                run_id,
            },
            None => Self::refused(format!("unknown answer `{}`", kind.unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_no_helenus_writes_is_a_refusal() {
        let run = Some(Uuid::from_u128(1));
        let read = RequestAnswer::from_columns(Some("joined"), None, run);
        assert_eq!((read.kind, read.run_id), (AnswerKind::Joined, run));
        for text in [None, Some(""), Some("Done"), Some("ok")] {
            let read = RequestAnswer::from_columns(text, None, run);
            assert_eq!((read.kind, read.run_id), (AnswerKind::Refused, None));
        }
    }
}
