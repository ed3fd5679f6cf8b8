//! Purging files that no version of any model names: pushes that were given up, versions whose row
//! an administrator deleted.
//!
//! A push that goes on at the same time loses nothing. It takes a chunk that stands for its own only
//! if that was written within the last [`chunks::REUSED`]; an older one it writes again. A chunk is
//! purged only when it was written more than [`LEAST_AGE`] ago, which is twice that, so the push
//! that relied on it has long written its version row; and it is deleted with the timestamp at which
//! it was written, so one that is written again meanwhile stays.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::problem::Problem,
    failure::Failure,
    store::{Store, chunks},
};

/// Chunks younger than this are never purged.
pub const LEAST_AGE: Duration = Duration::from_secs(2 * chunks::REUSED.as_secs());

/// A file that no version names.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Its sha256.
    pub sha256: Vec<u8>,
    /// Chunks that stand.
    pub chunks: usize,
    /// When the last of them was written.
    pub written_at: DateTime<Utc>,
}

/// What stood, and what went.
#[derive(Debug, Default)]
pub struct Purged {
    /// Files that were deleted, or would be.
    pub files: Vec<Orphan>,
    /// Files that no version names, and that are too young.
    pub young: Vec<Orphan>,
    /// Files that a version names.
    pub named: usize,
}

/// Deletes the files that no version names and that were written more than `age` before `now`, or
/// with `dry_run` only tells which.
///
/// # Errors
/// An age below [`LEAST_AGE`] (exit 2); Cassandra's, or no right to delete chunks.
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
        // Asked anew for each file: this may take long, and people push meanwhile.
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
        // A push writes its chunks one after the other: the youngest speaks for all.
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
