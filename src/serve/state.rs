//! What all requests of the process share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{index::Index, models::Models, requests::Idempotency, residents::Residents};
use crate::{config::Serve, store::Store};

/// The server's state; requests hold it in an [`Arc`].
pub struct Serving {
    pub store: Store,
    pub models: Arc<Models>,
    pub residents: Residents,
    pub index: Index,
    pub idempotency: Idempotency,
    draining: AtomicBool,
}

impl Serving {
    /// Returns a server that has loaded nothing yet. `jobs`: those to serve; all if empty.
    pub fn new(store: Store, jobs: Vec<String>) -> Self {
        let models = Arc::new(Models::new(&store));
        Self {
            residents: Residents::new(jobs),
            index: Index::default(),
            idempotency: Idempotency::default(),
            models,
            store,
            draining: AtomicBool::new(false),
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Serve {
        &self.store.config().serve
    }

    /// Stops being ready, so that no new requests are sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns whether requests should be sent here.
    ///
    /// # Errors
    /// Why not.
    pub fn is_ready(&self) -> Result<(), String> {
        if self.is_draining() {
            return Err("draining".to_owned());
        }
        self.residents.is_ready()
    }
}
