//! Messages of Kafka in, predictions out: `helenus stream`.
//!
//! [`process`] has a [`member`] for each job. A [`reader`] polls its topic in a thread of its own;
//! [`pipeline`] makes [`batch`]es of what it reads: [`decode`]d into source rows, written to the source
//! table, [`scoring`] with what serving keeps loaded. Each batch is one [`transaction`]: predictions,
//! dead letters and offsets. [`report`] says how far it is. [`client`] makes configured clients.
//!
//! Everything here needs librdkafka, so it is compiled only with the feature `kafka`.

#[cfg(feature = "kafka")]
pub mod batch;
#[cfg(feature = "kafka")]
pub mod client;
#[cfg(feature = "kafka")]
pub mod committer;
#[cfg(feature = "kafka")]
pub mod decode;
#[cfg(feature = "kafka")]
pub mod doctor;
#[cfg(feature = "kafka")]
pub mod generation;
#[cfg(feature = "kafka")]
pub mod hints;
#[cfg(feature = "kafka")]
pub mod member;
#[cfg(feature = "kafka")]
pub mod pipeline;
#[cfg(feature = "kafka")]
pub mod process;
#[cfg(feature = "kafka")]
pub mod reader;
#[cfg(feature = "kafka")]
pub mod record;
#[cfg(feature = "kafka")]
pub mod registry;
#[cfg(feature = "kafka")]
pub mod report;
#[cfg(feature = "kafka")]
pub mod scoring;
#[cfg(feature = "kafka")]
pub mod slot;
#[cfg(feature = "kafka")]
pub mod topics;
#[cfg(feature = "kafka")]
pub mod transaction;
