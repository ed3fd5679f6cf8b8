//! Progress for programs: lines of JSON on stderr.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{engine::run::context::Progress, output};

/// Writes a line now and twice a second, until it is aborted.
pub async fn tell(of: Option<u64>, progress: Arc<Progress>) {
    loop {
        tell_once(of, &progress);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Writes one line. `of` is the estimated number of source rows.
pub fn tell_once(of: Option<u64>, progress: &Progress) {
    let (rows, written, rejected) = progress.so_far();
    let line = json!({
        "progress": {"rows": rows, "of": of, "written": written, "rejected": rejected}
    });
    output::tell(&line.to_string());
}
