//! All tests against a real Cassandra: `make test` starts one.

mod connection;
mod harness;
mod migrate;
mod support;
