//! What is called in a separate process or under a time limit, in the words of its errors.

use crate::domain::job::prepare::Preparer;

/// A model, or what prepares cells.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    Model,
    Preparation(Preparer),
}

impl Subject {
    /// Returns what is called: "the model".
    pub(super) fn name(&self) -> String {
        match self {
            Self::Model => "the model".to_owned(),
            Self::Preparation(preparer) => format!("the preparation of {}", preparer.subject()),
        }
    }

    /// Returns its process: "the model's process".
    pub(super) fn process(&self) -> String {
        match self {
            Self::Model => "the model's process".to_owned(),
            Self::Preparation(preparer) => {
                format!("the process that prepares {}", preparer.subject())
            }
        }
    }

    /// Returns why a row is refused that crashed the process.
    pub(super) fn crashed(&self, cause: &str) -> String {
        match self {
            Self::Model => format!("the model's process crashed on it: {cause}"),
            Self::Preparation(preparer) => {
                let reason = format!("its process crashed: {cause}");
                preparer.failed(&reason).to_string()
            }
        }
    }

    /// Returns why a row is refused that hangs.
    pub(super) fn hung(&self, seconds: f64) -> String {
        match self {
            Self::Model => format!("the model did not answer within {seconds} s"),
            Self::Preparation(preparer) => {
                let reason = format!("it did not end within {seconds} s");
                preparer.failed(&reason).to_string()
            }
        }
    }
}
