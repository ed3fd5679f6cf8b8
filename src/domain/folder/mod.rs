//! A folder of Git as the desired state of models, jobs and all that belongs to them.
//!
//! - [`files`]: texts of files → what they declare, or all their mistakes.
//! - [`state`]: what Cassandra has, as far as a folder can be about it.
//! - [`steps`]: what must be written so that the second is as the first.

pub mod difference;
pub mod files;
pub mod state;
pub mod steps;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    access::{Kind, Reach},
    experiment::ExperimentRow,
    gate::GateRow,
    job::manifest::Manifest,
    trigger::TriggerRow,
};

/// Start of the author of everything that an apply writes; the commit follows.
pub const AUTHOR: &str = "git:";

/// Tag of a version with the commit that registered it.
pub const COMMIT_TAG: &str = "git.commit";

/// Tag of a version with the sha256 of the file of its reference.
pub const REFERENCE_TAG: &str = "git.reference_sha256";

/// Everything that a folder declares.
#[derive(Debug, Clone, Default)]
pub struct DesiredState {
    /// By model; numbered folders ascending.
    pub versions: Vec<DesiredVersion>,
    pub aliases: Vec<DesiredAlias>,
    pub jobs: Vec<DesiredJob>,
    pub triggers: Vec<TriggerRow>,
    pub gates: Vec<GateRow>,
    pub experiments: Vec<ExperimentRow>,
    pub roles: Vec<DesiredRole>,
}

/// A version of a model: `models/<name>/model.toml` or `models/<name>/<number>/model.toml`.
#[derive(Debug, Clone, Default)]
pub struct DesiredVersion {
    pub model: String,
    /// The number that its folder names; `None`: the model's only folder, whose content is the
    /// newest version.
    pub number: Option<i32>,
    /// Path of its `model.toml` within the folder.
    pub place: String,
    pub facts: VersionFacts,
    /// The model's file, if it is on this machine.
    pub file: Option<PathBuf>,
    /// Text of the golden rows.
    pub golden: Option<String>,
    /// Files beside the model, by name.
    pub artifacts: BTreeMap<String, PathBuf>,
    /// File of the training rows that runs are compared with.
    pub reference: Option<PathBuf>,
    pub tags: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, f64>,
    pub note: Option<String>,
}

/// What makes a version the one that it is: another value of any of them is another version.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VersionFacts {
    /// sha256 of the file, in hex.
    pub sha256: String,
    pub feature_names: Vec<String>,
    pub class_names: Vec<String>,
    /// sha256 of the golden rows' text, in hex.
    pub golden_sha256: Option<String>,
    pub rtol: Option<f64>,
    pub atol: Option<f64>,
    pub widths: BTreeMap<String, i32>,
    pub accepts: BTreeSet<String>,
    /// sha256 of each artifact, in hex, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, String>,
    /// sha256 of the reference's file, in hex. Unknown for versions that were not registered from a
    /// folder.
    pub reference_sha256: Option<String>,
}

impl VersionFacts {
    /// Returns whether a registered version has these facts.
    pub fn are_of(&self, registered: &Self) -> bool {
        match registered.reference_sha256 {
            Some(_) => self == registered,
            None => {
                Self {
                    reference_sha256: None,
                    ..self.clone()
                } == *registered
            }
        }
    }
}

/// The version that an alias is to point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasTarget {
    /// The version of the model's folder; with numbered folders, the highest.
    Folder,
    Number(i32),
}

/// Who moves an alias once it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedBy {
    /// Every apply moves it to where the folder says.
    Git,
    /// An apply only makes it; then it is left to people and gates.
    People,
}

/// An entry of `aliases.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredAlias {
    pub model: String,
    pub alias: String,
    pub target: AliasTarget,
    pub moved_by: MovedBy,
    /// `alias_requests.coverage` of a move.
    pub coverage: String,
}

/// A manifest of `jobs/`.
#[derive(Debug, Clone)]
pub struct DesiredJob {
    /// Path of the file within the folder.
    pub place: String,
    /// The manifest's text as it is stored, with its expected rows inlined.
    pub text: String,
    pub manifest: Manifest,
}

/// An entry of `roles.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredRole {
    pub name: String,
    pub kind: Kind,
    pub reach: Reach,
}
