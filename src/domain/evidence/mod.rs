//! What predictions are judged by: metrics against labels, comparison of versions, statistics.

pub mod comparison;
pub mod drift;
pub mod evaluation;
pub mod experiment;
pub mod group;
pub mod segment;
pub mod statistics;
