//! Evaluations, comparisons, passes, gates and experiments.

pub mod comparisons;
pub mod evaluations;
pub mod experiment_results;
pub mod experiments;
pub mod gate_moves;
pub mod gates;
pub mod passes;
