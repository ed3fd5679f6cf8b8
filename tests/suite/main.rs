//! The tests against real things: `make test` starts a Cassandra and fetches ONNX Runtime.

mod admission;
mod admission_service;
mod aliases;
mod connection;
mod docs;
mod harness;
mod jobs;
mod leases;
mod logins;
mod migrate;
mod outage;
mod parity;
mod permissions;
mod proof;
mod registry;
mod score;
mod scorer;
mod support;
mod tls;
