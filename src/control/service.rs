//! The long-running worker. Any number of workers run, on any machines, and each may crash at any
//! time.
//!
//! Every worker scores (`scoring`): it works on all open runs, together with the other workers. One
//! of them leads (`leader`), under the lease `scheduler`: it admits versions, validates jobs,
//! answers requests and fires triggers. Each of these services has a `run_once` and keeps no state
//! that a successor needs.
//!
//! An idle worker reads one row of `signals` per second and one lease row three times per lease
//! time. It checks the open runs every half minute, and writes its row of `workers` every ten
//! seconds. The leader also reads the ids of recent run requests twice per second and those of
//! alias requests once per second. It sweeps versions every ten seconds and jobs every quarter of a
//! minute.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{board::Board, leader, presence, scoring};
use crate::{
    control::health::Health,
    engine::run::{
        outbox::PredictionSink,
        shared::Shared,
        stop::{Asked, Stop},
    },
    store::Store,
};

/// Time after the drain time in which the batch under way may end.
const LEAVING: Duration = Duration::from_secs(30);

/// A worker.
#[derive(Clone)]
pub struct Service {
    pub(super) id: Uuid,
    pub(super) started_at: DateTime<Utc>,
    pub(super) store: Store,
    pub(super) shared: Shared,
    pub(super) board: Arc<Board>,
    pub(super) health: Arc<Health>,
    /// Signals that there may be a new run to check for.
    pub(super) opened: Arc<Notify>,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was started is finished or given back.
    Drained,
    /// Something did not end in time; other workers take it over when its lease has expired.
    Abandoned,
}

impl Service {
    /// Returns a worker that is not running yet.
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

    /// Sends the predictions of jobs that say so.
    pub fn sending_to(mut self, sink: Option<Arc<dyn PredictionSink>>) -> Self {
        self.shared = self.shared.sending_to(sink);
        self
    }

    /// Returns the handle that stops the worker.
    pub fn stop(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// Returns the health that the worker reports.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Runs until asked to stop; claimed splits then have `drain` to be finished.
    pub async fn run(self, drain: Duration) -> Ended {
        let presence = tokio::spawn(presence::keep(self.clone()));
        let mut parts = JoinSet::new();
        parts.spawn(scoring::keep(self.clone()));
        parts.spawn(leader::keep(self.clone()));
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
