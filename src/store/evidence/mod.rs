//! Evaluations, comparisons, passes and gates.

pub mod comparisons;
pub mod evaluations;
pub mod gate_moves;
pub mod gates;
pub mod passes;
