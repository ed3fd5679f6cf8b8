//! What all runs of one process share.

use std::sync::Arc;

use super::{slots::Slots, stop::Stop};
use crate::{config::Config, worker::warm::Warm};

/// However many runs a process works on, it puts no more load on Cassandra than this; requests in
/// flight are bounded by the store.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Splits at a time.
    pub slots: Arc<Slots>,
    /// Whether to go on.
    pub stop: Stop,
    /// Models that are loaded.
    pub warm: Arc<Warm>,
}

impl Shared {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self {
            slots: Slots::new(config.readers),
            stop: Stop::default(),
            warm: Arc::default(),
        }
    }
}
