//! What helenus is about, free of I/O: models, jobs, mappings, hashes, runs, splits, leases.

pub mod agreement;
pub mod alias;
pub mod canonical;
pub mod cast;
pub mod cell_json;
pub mod cells;
pub mod classes;
pub mod compile;
pub mod cql_type;
pub mod csv;
pub mod expect;
#[cfg(test)]
pub mod fixture;
pub mod golden;
pub mod hash;
pub mod job;
pub mod key;
pub mod lease;
pub mod literal;
pub mod manifest;
pub mod mapping;
pub mod model;
pub mod number;
pub mod outputs;
pub mod problem;
pub mod proof;
pub mod rejection;
pub mod ring;
pub mod run;
pub mod run_id;
pub mod schema;
pub mod statistics;
pub mod tensor;
pub mod tolerance;
pub mod wire;
pub mod words;
