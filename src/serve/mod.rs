//! Predictions on request: HTTP and gRPC, with the code and the numbers of the batch.
//!
//! The process is stateless and only reads, except for the rows that a person could write (requests
//! for runs and for aliases). [`residents`] holds the compiled jobs and follows aliases and
//! revisions, [`models`] holds the loaded models, [`batcher`] scores whatever waits in one call,
//! [`routes`] are the answers over HTTP, [`oip`] those of the Open Inference Protocol, and [`grpc`] is
//! its gRPC service.

pub mod arrow;
pub mod batcher;
pub mod caller;
pub mod console;
pub mod edge;
pub mod error;
pub mod follow;
pub mod form;
pub mod grpc;
pub mod index;
pub mod models;
pub mod oip;
pub mod openapi;
pub mod process;
pub mod progress;
pub mod requests;
pub mod residents;
pub mod routes;
pub mod rows;
pub mod state;
pub mod tensors;
pub mod tokens;
pub mod trace;
pub mod watch;
