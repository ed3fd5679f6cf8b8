//! CQL and the driver; no other module uses them. One file per table family.

pub mod admin;
pub mod alarms;
pub mod console;
pub mod driver;
pub mod evidence;
pub mod jobs;
pub mod predictions;
pub mod registry;
pub mod retraining;
pub mod runs;
pub mod streams;
pub mod triggers;

use std::sync::Arc;

use scylla::client::session::Session;

use crate::config::Config;
use admin::settings::Settings;
use driver::{budget, gate, pages, statement};

/// A session with helenus's keyspace in use. Cheap to clone.
///
/// Statements name helenus's own tables without their keyspace, and all other tables with it.
#[derive(Clone)]
pub struct Store {
    session: Arc<Session>,
    config: Arc<Config>,
    settings: Settings,
    statements: Arc<statement::Cache>,
    gates: Arc<Gates>,
    rows: Arc<budget::Budget>,
    row_sizes: Arc<pages::RowSizes>,
}

/// Places in flight, for everything that this process does on the store.
struct Gates {
    reads: gate::Gate,
    writes: gate::Gate,
}

impl Store {
    /// Returns the driver's session, for what the helpers of [`statement`] do not cover.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the configuration of the command.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the settings that all processes of this keyspace share.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the gate of page reads in flight.
    pub fn reads(&self) -> &gate::Gate {
        &self.gates.reads
    }

    /// Returns the gate of prediction writes in flight.
    pub fn writes(&self) -> &gate::Gate {
        &self.gates.writes
    }

    /// Returns the budget for the bytes of rows that this process may hold.
    pub fn row_budget(&self) -> &Arc<budget::Budget> {
        &self.rows
    }

    /// Returns the keyspace of helenus's own tables.
    pub fn keyspace(&self) -> &str {
        &self.config.keyspace
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("keyspace", &self.keyspace())
            .finish_non_exhaustive()
    }
}
