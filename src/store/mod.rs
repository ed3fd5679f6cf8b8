//! CQL and the driver: the only place that knows them. One file a table family.

pub mod error;
