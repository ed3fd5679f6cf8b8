//! Artifacts between files, Cassandra and memory.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Seek,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use crate::{
    domain::{
        model::{
            Admitted,
            artifact::{ArtifactContent, Artifacts, LoadedArtifact, MAX_ARTIFACT, too_big},
        },
        problem::Problem,
    },
    failure::Failure,
    scorer::{admit::Sha, artifacts::ArtifactFile},
    store::{
        Store,
        driver::error::StoreError,
        registry::{
            chunks::{Blob, BlobError},
            models::VersionRow,
        },
    },
};

/// Files of artifacts on this machine, by the artifacts' names.
pub type ArtifactPaths = BTreeMap<String, PathBuf>;

/// Artifacts that stay in memory after their job was dropped.
const KEPT: usize = 8;

/// The last artifacts that were loaded, the newest last. What jobs use stays in memory anyway.
static LOADED: Mutex<Vec<LoadedArtifact>> = Mutex::new(Vec::new());

/// Returns the files as admission examines them.
///
/// # Errors
/// A path cannot be made absolute.
pub fn to_admit(files: &ArtifactPaths) -> Result<BTreeMap<String, ArtifactFile>, Problem> {
    let file = |(name, path): (&String, &PathBuf)| {
        // The process has another working directory.
        let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        let file = ArtifactFile {
            path: absolute,
            sha256: None,
        };
        Ok::<_, Problem>((name.clone(), file))
    };
    files.iter().map(file).collect()
}

/// Checks that the files can be read and are not too large, before anything is sent.
///
/// # Errors
/// Exit 2.
pub fn check_here(files: &ArtifactPaths) -> Result<(), Failure> {
    for path in files.values() {
        open(path).map_err(Failure::input)?;
    }
    Ok(())
}

/// Stores the files as chunks; returns the column `model_versions.artifacts`.
///
/// # Errors
/// A file cannot be read; errors of Cassandra.
pub async fn upload(
    store: &Store,
    files: &ArtifactPaths,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Failure> {
    let mut shas = BTreeMap::new();
    for (name, path) in files {
        let failed = |error| Failure::input(unreadable(path, &error));
        let mut file = open(path).map_err(Failure::input)?;
        let blob = Blob::measure(&file).map_err(failed)?;
        file.rewind().map_err(failed)?;
        store.upload(&mut file, &blob, |_| {}).await?;
        shas.insert(name.clone(), blob.sha256.to_vec());
    }
    Ok(Some(shas).filter(|shas| !shas.is_empty()))
}

fn open(path: &Path) -> Result<File, Problem> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(unreadable(path, &std::io::Error::other("not a file")));
    }
    if metadata.len() > MAX_ARTIFACT as u64 {
        return Err(too_big(metadata.len()).at(path.display().to_string()));
    }
    Ok(file)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let problem = Problem::new("artifact.unreadable", format!("cannot be read: {error}"));
    problem.at(path.display().to_string())
}

/// Writes the artifacts of a version row into a folder, for admission.
///
/// # Errors
/// As [`Store::download_small`].
pub async fn fetch(
    store: &Store,
    row: &VersionRow,
    folder: &Path,
) -> Result<BTreeMap<String, ArtifactFile>, BlobError> {
    let mut files = BTreeMap::new();
    for (at, (name, sha256)) in row.artifact_shas().into_iter().enumerate() {
        let bytes = store.download_small(&sha256, MAX_ARTIFACT).await?;
        let path = folder.join(format!("artifact-{at}"));
        std::fs::write(&path, bytes)?;
        let sha256 = Some(Sha(sha256));
        files.insert(name, ArtifactFile { path, sha256 });
    }
    Ok(files)
}

/// Returns the artifacts of an admitted version, for its jobs; or which one is missing or altered.
///
/// # Errors
/// Errors of Cassandra.
pub async fn load(
    store: &Store,
    admitted: &Admitted,
) -> Result<Result<Artifacts, Problem>, StoreError> {
    let mut artifacts = BTreeMap::new();
    for (name, artifact) in &admitted.artifacts {
        let loaded = match kept(&artifact.sha256) {
            Some(loaded) => Ok(loaded),
            None => match store.download_small(&artifact.sha256, MAX_ARTIFACT).await {
                Ok(bytes) => read(bytes).await,
                Err(BlobError::Store(error)) => return Err(error),
                Err(BlobError::Damaged(problem)) => Err(problem),
                Err(BlobError::Local(error)) => {
                    Err(Problem::new("artifact.unreadable", error.to_string()))
                }
            },
        };
        match loaded {
            Ok(loaded) => artifacts.insert(name.clone(), loaded),
            Err(problem) => return Ok(Err(problem.at(format!("artifact {name}")))),
        };
    }
    Ok(Ok(Artifacts(artifacts)))
}

/// As [`load`], from files on this machine.
///
/// # Errors
/// A file cannot be read, or is not an artifact.
pub async fn load_files(files: &ArtifactPaths) -> Result<Artifacts, Problem> {
    let mut artifacts = BTreeMap::new();
    for (name, path) in files {
        open(path)?;
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let loaded = read(bytes).await?;
        artifacts.insert(name.clone(), loaded);
    }
    Ok(Artifacts(artifacts))
}

/// Reads an artifact's bytes and keeps it in memory.
///
/// # Errors
/// As [`ArtifactContent::read`].
pub async fn read(bytes: Vec<u8>) -> Result<LoadedArtifact, Problem> {
    // A large vocabulary takes a second.
    let reading = tokio::task::spawn_blocking(move || read_now(&bytes));
    reading
        .await
        .unwrap_or_else(|error| Err(Problem::new("system.threads", error.to_string())))
}

/// As [`read`], on this thread.
///
/// # Errors
/// As [`ArtifactContent::read`].
pub fn read_now(bytes: &[u8]) -> Result<LoadedArtifact, Problem> {
    let sha256: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(loaded) = kept(&sha256) {
        return Ok(loaded);
    }
    let loaded = LoadedArtifact {
        sha256,
        content: ArtifactContent::read(bytes)?,
    };
    let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= KEPT {
        all.remove(0);
    }
    all.push(loaded.clone());
    Ok(loaded)
}

fn kept(sha256: &[u8; 32]) -> Option<LoadedArtifact> {
    let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let at = all.iter().position(|loaded| loaded.sha256 == *sha256)?;
    let loaded = all.remove(at);
    all.push(loaded.clone());
    Some(loaded)
}
