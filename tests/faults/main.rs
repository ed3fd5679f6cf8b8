//! Faults, each against a real Cassandra: `make test-faults`.
//!
//! After each of them the same must hold ([`stage::Stage::assert_whole`]): every source row has
//! exactly its prediction, with the value that the model gives; the run's counts equal a recount;
//! each split was finished once, under epochs that only rose ([`trail`]); no run has `succeeded`
//! while a row is missing.

mod alarms;
mod apply;
mod changes;
mod clock;
mod cluster;
mod current;
mod drift;
mod experiment;
mod forget;
mod gate;
mod kill;
mod network;
mod outage;
mod own;
mod planning;
mod poison;
mod proxy;
mod retraining;
mod serve;
mod similar;
mod soak;
mod stage;
mod stream;
#[cfg(feature = "kafka")]
mod stream_requests;
#[cfg(feature = "kafka")]
mod stream_runs;
#[path = "../suite/support/mod.rs"]
mod support;
mod swarm;
mod tables;
mod tombstones;
mod trail;
mod worker_run;
mod zombie;
