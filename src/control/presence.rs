//! Maintains this worker's row of `workers`.

use std::time::Duration;

use chrono::Utc;

use super::service::Service;
use crate::{
    engine::run::{pace, stop::Asked},
    process,
    scorer::runtime,
    store::{admin::workers::WorkerRow, driver::error::StoreError},
};

/// Interval between two heartbeats.
const BEAT: Duration = Duration::from_secs(10);
/// Time to live of a heartbeat.
const TTL_SECONDS: i32 = 35;
/// How long the row of a worker that has left remains visible.
const LEFT_SECONDS: i32 = 10;

/// Writes heartbeats until aborted, also while draining.
pub(super) async fn keep(service: Service) {
    let mut row = first(&service);
    loop {
        row.beat += 1;
        if let Err(error) = write(&service, &mut row, TTL_SECONDS).await {
            tracing::warn!(%error, "could not say that this worker is there");
        }
        // The workers that are present share a run's limit on rows per second.
        match service.store.workers().await {
            Ok(all) => pace::workers(all.iter().filter(|worker| is_there(worker)).count()),
            Err(error) => tracing::warn!(%error, "could not see which workers are there"),
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Returns whether a worker is present. Workers that have left or are provably gone are not, even
/// if their rows still exist.
fn is_there(worker: &WorkerRow) -> bool {
    worker.state != "left" && !process::is_gone(&worker.process)
}

/// Writes the last heartbeat, with the state `left`.
pub(super) async fn leave(service: &Service) {
    let mut row = first(service);
    row.beat = i64::MAX;
    let left = write(service, &mut row, LEFT_SECONDS);
    // A late write is not waited for: the row expires without it.
    let _ = tokio::time::timeout(Duration::from_secs(2), left).await;
}

async fn write(service: &Service, row: &mut WorkerRow, ttl: i32) -> Result<(), StoreError> {
    row.beat_at = Utc::now();
    row.doing = service.board.lines();
    row.state = match (service.shared.stop.asked(), ttl) {
        (_, LEFT_SECONDS) => "left",
        (Asked::Nothing, _) => "working",
        (Asked::Drain | Asked::Leave, _) => "draining",
    }
    .to_owned();
    service.store.write_worker(row, ttl).await
}

fn first(service: &Service) -> WorkerRow {
    let runtime = runtime::load(service.store.config().onnxruntime.as_deref());
    WorkerRow {
        worker: service.id,
        process: process::identity().to_owned(),
        host: process::host(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_version: runtime.ok().map(|runtime| runtime.version.clone()),
        state: String::new(),
        doing: Vec::new(),
        started_at: service.started_at,
        beat: 0,
        beat_at: service.started_at,
    }
}
