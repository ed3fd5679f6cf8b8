//! `sample_ratio_mismatch`: the arms of a running experiment do not have the sizes that they should
//! have, so that none of its differences means anything.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{AlarmKind, Condition};

/// Returns the condition of an experiment whose newest look, `look`, found its arms' sizes wrong.
pub fn mismatch(job: &str, experiment: &str, look: Uuid, reason: &str) -> Condition {
    Condition {
        job: job.to_owned(),
        kind: AlarmKind::SampleRatioMismatch,
        subject: experiment.to_owned(),
        what: format!("experiment `{experiment}`: {reason}"),
        evidence: BTreeMap::from([
            ("experiment".to_owned(), experiment.to_owned()),
            ("look".to_owned(), look.to_string()),
            ("reason".to_owned(), reason.to_owned()),
        ]),
        run: None,
    }
}
