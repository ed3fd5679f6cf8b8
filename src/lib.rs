//! helenus: trained models in Apache Cassandra tables score the rows that live there.
//!
//! Arrows point down: `command` → `worker` → {`store`, `scorer`} → `domain`. Only `store` knows
//! CQL and the driver, only `scorer` knows ONNX Runtime, and `domain` does no I/O at all.

pub mod cli;
pub mod command;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod failure;
pub mod logging;
pub mod metrics;
pub mod output;
pub mod process;
pub mod scorer;
pub mod store;
pub mod worker;
