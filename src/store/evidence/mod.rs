//! Evaluations, comparisons, passes, gates and experiments.

pub mod comparisons;
mod distributions;
pub mod drift;
pub mod evaluations;
pub mod experiment_results;
pub mod experiments;
pub mod gate_moves;
pub mod gates;
pub mod passes;
pub mod profiles;
pub mod references;
