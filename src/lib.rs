//! helenus scores the rows of Apache Cassandra tables with trained models that are stored there.
//!
//! Dependencies point down: `command` → `stream` → `serve` → `control` → `inspect` → `engine` → {`store`, `scorer`} →
//! `domain` → `codec`. `report` draws what `inspect` found, for `command` and `serve`. Only `store` knows
//! CQL and the driver, only `scorer` knows ONNX Runtime, only `stream` knows Kafka, and `domain` does no
//! I/O at all.

pub mod cli;
pub mod codec;
pub mod command;
pub mod config;
pub mod control;
pub mod domain;
pub mod engine;
pub mod failpoint;
pub mod failure;
pub mod http;
pub mod inspect;
pub mod logging;
pub mod metrics;
pub mod output;
pub mod process;
pub mod program;
pub mod report;
pub mod scorer;
pub mod serve;
pub mod store;
pub mod stream;
