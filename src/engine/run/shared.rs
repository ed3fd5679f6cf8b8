//! The resources that all runs of one process share.

use std::sync::Arc;

use super::{outbox::PredictionSink, slots::Slots, stop::Stop};
use crate::{config::Config, engine::warm::Warm};

/// Resources shared by all runs of a process. They bound its load on Cassandra, however many runs
/// it works on; the store bounds the requests in flight.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Slots for splits that are scored at a time.
    pub slots: Arc<Slots>,
    /// The stop request of this process.
    pub stop: Stop,
    /// Loaded models.
    pub warm: Arc<Warm>,
    /// What sends predictions to topics, if this build has it.
    pub sink: Option<Arc<dyn PredictionSink>>,
}

impl Shared {
    /// Returns resources as configured: `config.readers` splits at a time.
    pub fn new(config: &Config) -> Self {
        Self {
            slots: Slots::new(config.readers),
            stop: Stop::default(),
            warm: Arc::default(),
            sink: None,
        }
    }

    /// Sends the predictions of jobs that say so.
    pub fn sending_to(mut self, sink: Option<Arc<dyn PredictionSink>>) -> Self {
        self.sink = sink;
        self
    }
}
