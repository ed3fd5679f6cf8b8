//! The statistics of experiments, pure and mergeable: which arm a unit belongs to, whether the arms
//! have the sizes that they should have, and how large a difference between arms is.
//!
//! Sources: sample ratio mismatch, Fabijan et al. (2019) and, at every look, Lindon & Malek (2020);
//! intervals at every look, Waudby-Smith et al. (2024); covariates, Deng et al. (2013), CUPED.

pub mod allocation;
pub mod arm_sums;
pub mod cuped;
pub mod interval;
pub mod sample_ratio;
pub mod units;
