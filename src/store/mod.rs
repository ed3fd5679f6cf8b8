//! CQL and the driver: the only place that knows them. One file a table family.

pub mod admissions;
pub mod alias_requests;
pub mod aliases;
pub mod answers;
pub mod changed_keys;
pub mod chunks;
pub mod clock;
pub mod codec;
pub mod comparisons;
pub mod connect;
pub mod current_tables;
pub mod ddl;
pub mod error;
pub mod evaluations;
pub mod export_select;
pub mod forget;
pub mod gate;
pub mod gate_moves;
pub mod gates;
pub mod health;
pub mod history;
pub mod job_targets;
pub mod jobs;
pub mod leases;
pub mod migrate;
pub mod models;
pub mod mutations;
pub mod names;
pub mod open_runs;
pub mod passes;
pub mod prediction_ddl;
pub mod prediction_tables;
pub mod predictions;
pub mod purge;
pub mod quote;
pub mod raw;
pub mod rejected_rows;
pub mod request_ids;
pub mod retention;
pub mod ring;
pub mod roles;
pub mod run_heads;
pub mod run_requests;
pub mod runs;
pub mod scan;
pub mod script;
pub mod selects;
pub mod settings;
pub mod side_select;
pub mod signals;
pub mod splits;
pub mod statement;
pub mod tables;
pub mod trigger_status;
pub mod triggers;
pub mod upstream;
pub mod workers;

use std::sync::Arc;

use scylla::client::session::Session;

use crate::config::Config;
use settings::Settings;

/// A session with helenus's keyspace in use. Cheap to clone.
///
/// Statements name helenus's own tables without their keyspace, and everybody else's with it.
#[derive(Clone)]
pub struct Store {
    session: Arc<Session>,
    config: Arc<Config>,
    settings: Settings,
    statements: Arc<statement::Cache>,
    gates: Arc<Gates>,
}

/// Places in flight, for all that this process does on the store.
struct Gates {
    reads: gate::Gate,
    writes: gate::Gate,
}

impl Store {
    /// The driver's session, for what the helpers of [`statement`] do not cover.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the command was configured with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What all processes of this keyspace agreed on.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Places of page reads in flight.
    pub fn reads(&self) -> &gate::Gate {
        &self.gates.reads
    }

    /// Places of prediction writes in flight.
    pub fn writes(&self) -> &gate::Gate {
        &self.gates.writes
    }

    /// The keyspace of helenus's own tables.
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
