//! What Cassandra has, as far as a folder can be about it.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{AUTHOR, VersionFacts};
use crate::domain::{
    experiment::{ExperimentRow, ExperimentState},
    gate::GateRow,
    model::AdmissionState,
    trigger::TriggerRow,
};

/// The state of the database that a plan is made for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ActualState {
    /// All models; versions ascending. Versions are read of the folder's models only.
    pub models: BTreeMap<String, Vec<ActualVersion>>,
    /// Model → alias → where it points.
    pub aliases: BTreeMap<String, BTreeMap<String, ActualAlias>>,
    pub jobs: BTreeMap<String, ActualJob>,
    pub triggers: Vec<TriggerRow>,
    pub gates: Vec<GateRow>,
    /// The newest revision of each.
    pub experiments: Vec<ActualExperiment>,
    /// Permissions that the folder's roles lack, as Cassandra lists them; `None`: there is no such
    /// role.
    pub roles: BTreeMap<String, Option<Vec<String>>>,
}

/// A registered version.
#[derive(Debug, Clone, Serialize)]
pub struct ActualVersion {
    pub number: i32,
    pub facts: VersionFacts,
    /// `None`: admission has not looked at it.
    pub state: Option<AdmissionState>,
    /// Why it was rejected.
    pub reason: Option<String>,
    pub author: Option<String>,
    pub has_reference: bool,
}

/// Where an alias points, and who moved it there.
#[derive(Debug, Clone, Serialize)]
pub struct ActualAlias {
    pub version: i32,
    pub author: Option<String>,
}

/// A job's newest revision.
#[derive(Debug, Clone, Serialize)]
pub struct ActualJob {
    pub revision: i32,
    pub manifest: String,
    pub author: Option<String>,
    pub deleted: bool,
    /// `job_status.state`; `None`: it has no answer.
    pub state: Option<&'static str>,
}

/// The newest revision of an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct ActualExperiment {
    pub row: ExperimentRow,
    #[serde(skip)]
    pub state: Option<ExperimentState>,
}

impl ActualState {
    /// Returns a hash that changes with everything that a plan depends on.
    pub fn fingerprint(&self) -> String {
        // Plain strings and numbers always serialise.
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }
}

/// Returns the commit of something that an apply wrote.
pub fn commit_of(author: Option<&str>) -> Option<&str> {
    author?.strip_prefix(AUTHOR)
}

/// Names an author for people.
pub fn spoken_author(author: Option<&str>) -> String {
    match (commit_of(author), author) {
        (Some(commit), _) => format!("commit {}", commit.get(..12).unwrap_or(commit)),
        (None, Some(author)) => format!("`{author}`"),
        (None, None) => "an unnamed author".to_owned(),
    }
}
