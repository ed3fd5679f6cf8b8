//! What helenus is about, free of I/O: models, jobs, mappings, hashes, runs, splits, leases.

pub mod cells;
pub mod cql_type;
pub mod csv;
pub mod job;
pub mod lease;
pub mod model;
pub mod problem;
pub mod ring;
pub mod run;
pub mod run_id;
pub mod schema;
pub mod statistics;
pub mod tensor;
