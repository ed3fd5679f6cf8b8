//! What all runs of one process share.

use std::sync::Arc;

use super::{slots::Slots, stop::Stop};
use crate::config::Config;

/// However many runs a process works on, it puts no more load on Cassandra than this; requests in
/// flight are bounded by the store.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Splits at a time.
    pub slots: Arc<Slots>,
    /// Whether to go on.
    pub stop: Stop,
}

impl Shared {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self {
            slots: Slots::new(config.readers),
            stop: Stop::default(),
        }
    }
}
