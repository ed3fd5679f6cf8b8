//! What the database as a whole needs: schema, settings, roles, leases, workers, clean-up.

mod baseline;
pub mod health;
pub mod leases;
pub mod migrate;
pub mod purge;
pub mod release;
pub mod retention;
pub mod roles;
pub mod settings;
pub mod signals;
pub mod workers;
