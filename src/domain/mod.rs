//! What helenus is about, free of I/O: models, jobs, mappings, hashes, runs, splits, leases.

pub mod cql_type;
pub mod job;
pub mod model;
pub mod problem;
pub mod run;
pub mod schema;
pub mod tensor;
