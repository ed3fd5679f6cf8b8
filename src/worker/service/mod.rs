//! The long-running worker. Any number of them run, on any machines, and each may die at any time.
//!
//! Every worker scores (`scoring`): it works on all open runs, together with the others. One of
//! them leads (`leading`), under the lease `scheduler`: it admits versions, validates jobs,
//! answers requests and fires triggers. Each of these services has a `run_once` and keeps nothing
//! that a successor could miss.
//!
//! Idle, a worker reads one row of `signals` a second and one lease row three times a lease time,
//! looks through the open runs every half minute, and writes its row of `workers` every ten
//! seconds. The leader also reads the ids of recent run requests twice a second and those of alias
//! requests once a second, and sweeps versions and jobs every quarter of a minute.

mod board;
mod leading;
mod presence;
mod rounds;
mod run_requests;
mod scoring;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use self::board::Board;
use super::{
    health::Health,
    run::{
        shared::Shared,
        stop::{Asked, Stop},
    },
};
use crate::store::Store;

/// Time for what is between two batches, after the drain time is over.
const LEAVING: Duration = Duration::from_secs(30);

/// A worker.
#[derive(Clone)]
pub struct Service {
    id: Uuid,
    started_at: DateTime<Utc>,
    store: Store,
    shared: Shared,
    board: Arc<Board>,
    health: Arc<Health>,
    /// There may be a new run: look now.
    opened: Arc<Notify>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was begun is finished or given back.
    Drained,
    /// Something did not end in time; others take it over when its lease has run out.
    Abandoned,
}

impl Service {
    /// A worker that does nothing yet.
    pub fn new(store: Store) -> Self {
        Self {
            id: Uuid::new_v4(),
            started_at: Utc::now(),
            shared: Shared::new(store.config()),
            store,
            board: Arc::default(),
            health: Arc::default(),
            opened: Arc::default(),
        }
    }

    /// Asking ends it.
    pub fn stop(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// What it says of itself.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Works until asked to stop; splits that are claimed then get `drain` to be finished.
    pub async fn run(self, drain: Duration) -> Ended {
        let presence = tokio::spawn(presence::keep(self.clone()));
        let mut parts = JoinSet::new();
        parts.spawn(scoring::keep(self.clone()));
        parts.spawn(leading::keep(self.clone()));
        let stop = self.stop();
        stop.reaches(Asked::Drain).await;
        self.health.draining();
        let mut until = Instant::now() + drain;
        let mut ended = Ended::Drained;
        while !parts.is_empty() {
            let asked = stop.asked();
            tokio::select! {
                part = timeout_at(until, parts.join_next()) => match part {
                    Ok(Some(Err(panic))) => {
                        tracing::error!(%panic, "a part of this worker broke");
                        ended = Ended::Abandoned;
                    }
                    Ok(_) => {}
                    Err(_) if stop.ask(Asked::Leave) == Asked::Leave => {
                        parts.abort_all();
                        ended = Ended::Abandoned;
                        break;
                    }
                    Err(_) => until = Instant::now() + LEAVING,
                },
                () = stop.reaches(Asked::Leave), if asked < Asked::Leave => {
                    until = Instant::now() + LEAVING;
                }
            }
        }
        presence.abort();
        presence::leave(&self).await;
        ended
    }
}
