//! Admits the files beside a model. Runs in the admission process, as a hostile file may take all
//! memory or time.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::admit::Sha;
use crate::domain::{
    model::artifact::{
        Artifact, ArtifactContent, MAX_ARTIFACT, MAX_ARTIFACTS, check_artifact_name, too_big,
    },
    problem::Problem,
};

/// An artifact to admit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// Its required sha256, if it is known.
    pub sha256: Option<Sha>,
}

/// Reads and checks all artifacts.
///
/// # Errors
/// All problems, each at its artifact.
pub(super) fn admit(
    files: &BTreeMap<String, ArtifactFile>,
) -> Result<BTreeMap<String, Artifact>, Vec<Problem>> {
    let mut artifacts = BTreeMap::new();
    let mut problems = Vec::new();
    if files.len() > MAX_ARTIFACTS {
        let message = format!("{} artifacts; the limit is {MAX_ARTIFACTS}", files.len());
        problems.push(Problem::new("artifact.size", message));
    }
    for (name, file) in files {
        match check_artifact_name(name).and_then(|()| admit_one(file)) {
            Ok(artifact) => {
                artifacts.insert(name.clone(), artifact);
            }
            Err(problem) => problems.push(problem.at(format!("artifact {name}"))),
        }
    }
    match problems.is_empty() {
        true => Ok(artifacts),
        false => Err(problems),
    }
}

fn admit_one(file: &ArtifactFile) -> Result<Artifact, Problem> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read {}: {error}", file.path.display());
        Problem::new("artifact.unreadable", message)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(&file.path)
        .and_then(|file| file.take(MAX_ARTIFACT as u64 + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > MAX_ARTIFACT {
        return Err(too_big(bytes.len() as u64));
    }
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    if file.sha256.is_some_and(|wanted| wanted.0 != sha256) {
        let message = format!(
            "the bytes have sha256 {}, which differs from the registered one",
            hex::encode(sha256)
        );
        return Err(Problem::new("artifact.sha256", message));
    }
    let content = ArtifactContent::read(&bytes)?;
    Ok(Artifact {
        sha256,
        size: bytes.len() as u64,
        kind: content.kind(),
    })
}
