//! Purges files that no version of any model names: abandoned pushes, and versions whose row an
//! administrator deleted.
//!
//! A concurrent push loses nothing. It reuses a stored chunk only if that chunk was written within
//! the last [`chunks::REUSED`]; it writes an older one again. A chunk is purged only if it was
//! written more than [`LEAST_AGE`] ago, which is twice that, so the push that relied on it has long
//! written its version row. The chunk is deleted with the timestamp at which it was written, so a
//! chunk that is written again meanwhile remains.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::problem::Problem,
    failure::Failure,
    store::{Store, registry::chunks},
};

/// Age below which chunks are never purged.
pub const LEAST_AGE: Duration = Duration::from_secs(2 * chunks::REUSED.as_secs());

/// A file that no version names.
#[derive(Debug, Clone)]
pub struct Orphan {
    pub sha256: Vec<u8>,
    /// Number of chunks that are stored.
    pub chunks: usize,
    /// When the last chunk was written.
    pub written_at: DateTime<Utc>,
}

/// Result of a purge.
#[derive(Debug, Default)]
pub struct Purged {
    /// Files that were deleted, or would be.
    pub files: Vec<Orphan>,
    /// Files that no version names but that are too young.
    pub young: Vec<Orphan>,
    /// Number of files that a version names.
    pub named: usize,
}

/// Deletes the files that no version names and that were written more than `age` before `now`; with
/// `dry_run`, only returns them.
///
/// # Errors
/// The age is below [`LEAST_AGE`] (exit 2); errors of Cassandra, including a missing permission to
/// delete chunks.
pub async fn purge(
    store: &Store,
    now: DateTime<Utc>,
    age: Duration,
    dry_run: bool,
) -> Result<Purged, Failure> {
    if age < LEAST_AGE {
        return Err(Failure::input(
            Problem::new(
                "purge.too_young",
                format!(
                    "only files of {} h or more are purged: a push may rely on younger ones",
                    LEAST_AGE.as_secs() / 3600
                ),
            )
            .help("--older-than 24h, or more"),
        ));
    }
    let before = now.timestamp_micros() - age.as_micros() as i64;
    let mut purged = Purged::default();
    for (sha256, chunks) in store.stored_chunks().await? {
        // Read again for each file: the purge may take long, and users push meanwhile.
        if store.named_files().await?.contains(&sha256) {
            purged.named += 1;
            continue;
        }
        let written = store.chunks_written(&sha256, &chunks).await?;
        let Some(last) = written.iter().map(|(_, at)| *at).max() else {
            continue;
        };
        let orphan = Orphan {
            chunks: written.len(),
            written_at: DateTime::from_timestamp_micros(last).unwrap_or_default(),
            sha256,
        };
        // A push writes its chunks one after the other, so the youngest chunk decides.
        if last >= before {
            purged.young.push(orphan);
            continue;
        }
        if !dry_run {
            store.delete_chunks(&orphan.sha256, &written).await?;
        }
        purged.files.push(orphan);
    }
    Ok(purged)
}
