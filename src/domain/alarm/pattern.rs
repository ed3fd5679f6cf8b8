//! Which alarms of a job a trigger or a retraining waits for.

use std::fmt;

use super::{Alarm, AlarmKind};
use crate::domain::problem::Problem;

/// Which alarms of a job are meant: `kind` or `kind/subject`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmPattern {
    pub kind: AlarmKind,
    /// `None`: any subject.
    pub subject: Option<String>,
}

impl AlarmPattern {
    /// Parses the stored spelling.
    ///
    /// # Errors
    /// Code `code` if the kind is unknown; the help lists the kinds.
    pub fn parse(text: &str, code: &str) -> Result<Self, Problem> {
        let (kind, subject) = match text.split_once('/') {
            Some((kind, subject)) => (kind, Some(subject.to_owned())),
            None => (text, None),
        };
        match AlarmKind::parse(kind) {
            Some(kind) => Ok(Self { kind, subject }),
            None => {
                let kinds: Vec<_> = AlarmKind::ALL.iter().map(|kind| kind.as_str()).collect();
                let help = format!("write one of {}", kinds.join(", "));
                Err(Problem::new(code, format!("unknown kind of alarm `{kind}`")).help(help))
            }
        }
    }

    /// Returns whether an open alarm is meant. One that is about runs must have been seen in two.
    pub fn matches(&self, alarm: &Alarm) -> bool {
        let is_confirmed = alarm.last_run.is_none() || alarm.seen >= 2;
        alarm.is_open() && is_confirmed && self.names(&alarm.key())
    }

    /// Returns whether alarms with this key, `kind/subject`, are meant.
    pub fn names(&self, key: &str) -> bool {
        let Some((kind, subject)) = key.split_once('/') else {
            return false;
        };
        let is_meant = |meant: &String| meant == subject;
        kind == self.kind.as_str() && self.subject.as_ref().is_none_or(is_meant)
    }
}

impl fmt::Display for AlarmPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.subject {
            Some(subject) => write!(f, "/{subject}"),
            None => Ok(()),
        }
    }
}
