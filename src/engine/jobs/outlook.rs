//! What a folder plans to write, as if it were written.

use std::{collections::BTreeMap, path::PathBuf};

use crate::domain::model::{ReadyVersion, artifact::Artifacts};

/// Aliases and versions as they will be: what a manifest is checked against before they are written.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// The model's aliases that will point elsewhere.
    pub pointing: BTreeMap<String, i32>,
    /// Versions that are not registered or not admitted yet.
    pub versions: Vec<PlannedVersion>,
}

/// A version that a file on this machine is to become.
#[derive(Debug, Clone)]
pub struct PlannedVersion {
    pub ready: ReadyVersion,
    pub file: PathBuf,
    pub artifacts: Artifacts,
}

impl Outlook {
    pub(super) fn version(&self, model: &str, number: i32) -> Option<&PlannedVersion> {
        let mut versions = self.versions.iter();
        versions.find(|it| it.ready.model == model && it.ready.version == number)
    }
}
