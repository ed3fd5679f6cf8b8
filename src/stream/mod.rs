//! Messages of Kafka in, predictions out: `helenus stream`.
//!
//! [`client`] makes configured clients. Everything that needs librdkafka is compiled only with the
//! feature `kafka`.

#[cfg(feature = "kafka")]
pub mod client;
