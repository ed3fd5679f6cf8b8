//! The domain of helenus, free of I/O: models, jobs, mappings, hashes, runs, splits, leases.

pub mod access;
pub mod alarm;
pub mod answer;
pub mod cassandra;
pub mod csv;
pub mod duration;
pub mod evidence;
pub mod experiment;
#[cfg(test)]
pub mod fixture;
pub mod folder;
pub mod gate;
pub mod job;
pub mod model;
pub mod names;
pub mod percent;
pub mod printable;
pub mod problem;
pub mod retraining;
pub mod rounding;
pub mod run;
pub mod spelling;
pub mod token;
pub mod tokenizer;
pub mod trigger;
