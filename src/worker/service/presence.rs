//! The worker's row of `workers`.

use std::time::Duration;

use chrono::Utc;

use super::Service;
use crate::{
    process,
    scorer::runtime,
    store::{error::StoreError, workers::WorkerRow},
    worker::run::{pace, stop::Asked},
};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(10);
/// For how long a sign of life stands.
const TTL_SECONDS: i32 = 35;
/// For how long it can be seen that a worker has left.
const LEFT_SECONDS: i32 = 10;

/// Gives signs of life until aborted; also while draining.
pub(super) async fn keep(service: Service) {
    let mut row = first(&service);
    loop {
        row.beat += 1;
        if let Err(error) = write(&service, &mut row, TTL_SECONDS).await {
            tracing::warn!(%error, "could not say that this worker is there");
        }
        // A limit on a run's rows a second is shared by those that are there.
        match service.store.workers().await {
            Ok(all) => pace::workers(all.iter().filter(|worker| is_there(worker)).count()),
            Err(error) => tracing::warn!(%error, "could not see which workers are there"),
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Not those that have left, nor those that are provably gone, though their rows still stand.
fn is_there(worker: &WorkerRow) -> bool {
    worker.state != "left" && !process::is_gone(&worker.process)
}

/// The last sign.
pub(super) async fn leave(service: &Service) {
    let mut row = first(service);
    row.beat = i64::MAX;
    let left = write(service, &mut row, LEFT_SECONDS);
    // Not to be waited for: the row ends by itself.
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
