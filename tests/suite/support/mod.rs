//! What the tests stand on: a real Cassandra (`make test` starts one), the real binary, cqlsh,
//! Python's driver, and the models of `models/`.
//!
//! A test takes a [`Sandbox`]: keyspaces of its own, or helenus's keyspace shared with the other
//! tests of this process (a migration costs Cassandra most of a second). In a shared one, models
//! and jobs need names of their own: [`Sandbox::name`].
//!
//! Tests are plain functions. What is asynchronous runs on the one runtime of the process, by
//! [`block_on`]: the driver's sessions outlive the test that opened them.

// Each helper serves some tests; none serves all.
#![allow(dead_code)]

pub mod biopsies;
pub mod browser;
pub mod cases;
pub mod cassandra;
pub mod cli;
pub mod documented;
pub mod documents;
pub mod garden;
pub mod guarded;
pub mod kafka;
pub mod keyspaces;
pub mod model;
pub mod numbers;
pub mod receiver;
pub mod repository;
pub mod sandbox;
pub mod served;
pub mod stems;
pub mod times;
pub mod tools;
pub mod trained;

use std::{future::Future, sync::OnceLock};

#[allow(unused_imports)]
pub use model::Model;
pub use sandbox::Sandbox;
#[allow(unused_imports)]
pub use served::Served;

/// Runs a future on the process's runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

/// An environment variable that `make test` sets.
pub fn required(variable: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| {
            panic!("{variable} is not set: run `make test`, which starts a Cassandra of its own")
        })
}

/// Eight random letters: no two tests, processes or runs share a name.
pub fn random_name() -> String {
    let random = uuid::Uuid::new_v4();
    random.as_bytes()[..8]
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}
