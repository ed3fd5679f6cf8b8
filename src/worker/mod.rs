//! Services of the worker; each has a `run_once`.

pub mod admission;
pub mod aliases;
pub mod jobs;
