//! Files that are read again when they change.

use std::{fs, future::Future, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

/// Interval at which files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What distinguishes a file's content from an earlier one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    size: u64,
    inode: u64,
}

/// Returns the stamp of each file; `None` for one that cannot be looked at.
fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            inode: metadata.ino(),
        })
    };
    paths.iter().map(stamp).collect()
}

/// Calls `changed` after each change of one of these files, for as long as the process runs. The
/// first call comes at once: the files may have changed since they were read.
pub async fn watch<F: Future<Output = ()>>(paths: Vec<PathBuf>, mut changed: impl FnMut() -> F) {
    let mut seen = None;
    loop {
        // Before the files are read: a change in between is seen at the next look.
        let now = stamps(&paths);
        if seen.as_ref() != Some(&now) {
            seen = Some(now);
            changed().await;
        }
        tokio::time::sleep(LOOK).await;
    }
}
