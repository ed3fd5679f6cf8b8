//! Evaluations, comparisons, passes and gates.

pub mod comparisons;
mod distributions;
pub mod drift;
pub mod evaluations;
pub mod gate_moves;
pub mod gates;
pub mod passes;
pub mod profiles;
pub mod references;
