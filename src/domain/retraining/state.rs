//! The states of a request for a training, and of a training.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::TrainingSpec;
use crate::domain::spelling::spelled;

/// The tag of a version that names the request for which it was trained.
pub const REQUEST_TAG: &str = "helenus.retraining";

/// `retraining_requests.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// A trainer must train, or trains.
    Training,
    /// The version waits for admission.
    Admission,
    /// The version gets the challenger's alias.
    Challenger,
    /// The job scores the version.
    Scoring,
    /// The version is evaluated on rows that the trainer did not see.
    Evaluating,
    /// The gate judges the evaluation.
    Judging,
    /// The gate passes; it moves the alias, or waits for an approval.
    Passed,
    /// The gate does not pass.
    NotPassed,
    /// Evaluated; no gate is named.
    Evaluated,
    /// `reason` says why.
    Failed,
}

spelled! {
    RequestState {
        Training => "training",
        Admission => "admission",
        Challenger => "challenger",
        Scoring => "scoring",
        Evaluating => "evaluating",
        Judging => "judging",
        Passed => "passed",
        NotPassed => "not_passed",
        Evaluated => "evaluated",
        Failed => "failed",
    }
}

impl RequestState {
    /// Returns whether nothing more happens to the request.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Passed | Self::NotPassed | Self::Evaluated | Self::Failed
        )
    }
}

/// A row of `retraining_requests`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrainingRequest {
    pub model: String,
    pub name: String,
    pub id: Uuid,
    /// Why it was made, for people.
    pub cause: String,
    pub spec: TrainingSpec,
    pub state: RequestState,
    /// Why it failed, or did not pass; before that, what it waits for.
    pub reason: Option<String>,
    pub version: Option<i32>,
    /// The request that gives the version its alias.
    pub alias_request: Option<Uuid>,
    pub run_id: Option<Uuid>,
    pub evaluation: Option<Uuid>,
    pub asked_at: Option<DateTime<Utc>>,
}

/// `trainings.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrainingState {
    /// A trainer works on it, or crashed.
    #[default]
    Training,
    /// The version is registered.
    Trained,
    /// `reason` says why.
    Failed,
}

spelled! {
    TrainingState {
        Training => "training",
        Trained => "trained",
        Failed => "failed",
    }
}

/// A row of `trainings`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Training {
    pub state: TrainingState,
    /// What the trainer does, for people.
    pub step: Option<String>,
    pub owner: Option<Uuid>,
    /// Raised by each claim.
    pub epoch: i32,
    pub beat: i64,
    /// The owner's [`crate::process::identity`].
    pub process: Option<String>,
    pub reason: Option<String>,
    /// The end of the command's output.
    pub log: Option<String>,
    /// The version that is reserved or registered.
    pub version: Option<i32>,
    pub rows: Option<i64>,
    pub held_out_rows: Option<i64>,
    pub data_sha256: Option<Vec<u8>>,
    pub command_sha256: Option<Vec<u8>>,
    pub metrics: BTreeMap<String, f64>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_parsed_as_they_are_stored() {
        for state in RequestState::ALL {
            assert_eq!(RequestState::parse(state.as_str()), Some(state));
        }
    }
}
