//! Messages of Kafka in, predictions out: `helenus stream`, and what runs send to topics.
//!
//! [`process`] has a [`member`] for each job. A [`reader`] polls its topic in a thread of its own;
//! [`pipeline`] makes [`batch`]es of what it reads: [`decode`]d into source rows, written to the source
//! table, [`scoring`] with what serving keeps loaded. Each batch is one [`transaction`]: predictions,
//! dead letters and offsets. [`report`] says what it does, [`positions`] how far it is. [`client`] makes configured clients.
//!
//! Beside that, [`sink`] sends the predictions of runs, and [`requests`] reads requests for runs.
//!
//! Nearly everything here needs librdkafka, so it is compiled only with the feature `kafka`.

use std::sync::Arc;

use crate::{config::Config, engine::run::outbox::PredictionSink};

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
mod events;
#[cfg(feature = "kafka")]
pub mod generation;
#[cfg(feature = "kafka")]
pub mod handover;
#[cfg(feature = "kafka")]
pub mod hints;
#[cfg(feature = "kafka")]
pub mod member;
#[cfg(feature = "kafka")]
pub mod pipeline;
#[cfg(feature = "kafka")]
pub mod positions;
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
pub mod requests;
#[cfg(feature = "kafka")]
pub mod scoring;
#[cfg(feature = "kafka")]
pub mod sink;
#[cfg(feature = "kafka")]
pub mod slot;
#[cfg(feature = "kafka")]
mod source_rows;
#[cfg(feature = "kafka")]
pub mod topics;
#[cfg(feature = "kafka")]
pub mod transaction;

/// Returns what sends the predictions of runs to topics; `None` in a build without Kafka.
pub fn prediction_sink(config: &Config) -> Option<Arc<dyn PredictionSink>> {
    #[cfg(feature = "kafka")]
    return Some(sink::prediction_sink(&config.kafka));
    #[cfg(not(feature = "kafka"))]
    {
        let _ = config;
        None
    }
}
