//! Evaluates predictions by partial results that can be merged: one pass, bounded memory.
//!
//! Every row is assigned to one of [`GROUPS`] groups by a salted hash of its partition key, so that
//! the rows of one entity stay together. Intervals are delete-a-group jackknives over these groups
//! (Miller 1974; Kott 2001). A pass makes one partial result per split; merged in ring order they
//! give the result of a single pass, within 1e-12.

pub mod binary;
pub mod calibration;
pub mod classes;
pub mod curve;
pub mod error_quantiles;
pub mod exact_scores;
pub mod groups;
pub mod jackknife;
pub mod labels;
pub mod losses;
pub mod measure;
pub mod moments;
pub mod paired;
pub mod partial;
pub mod ranking;
pub mod regression;
pub mod report;
pub mod room;
pub mod score_bins;
pub mod sequence;
pub mod target;
pub mod threshold;

use serde::{Deserialize, Serialize};

/// Number of jackknife groups.
pub const GROUPS: u8 = 100;
/// Partial results that can be merged.
pub trait Merge {
    /// Adds another result.
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self += other;
    }
}

impl<T: Merge + Clone> Merge for Vec<T> {
    fn merge(&mut self, other: &Self) {
        let both = self.len().min(other.len());
        for (mine, theirs) in self.iter_mut().zip(other) {
            mine.merge(theirs);
        }
        self.extend_from_slice(&other[both..]);
    }
}

/// Resolution of a partial result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detail {
    /// For all rows: 100 groups; 4,096 bins if scores are binned.
    Whole,
    /// For one of many segments: 25 groups; 1,024 bins.
    Segment,
}

impl Detail {
    /// Returns the group at this resolution.
    pub fn group(self, group: u8) -> u8 {
        match self {
            Self::Whole => group,
            Self::Segment => group / 4,
        }
    }

    /// Returns the number of score bins.
    pub fn bins(self) -> u16 {
        match self {
            Self::Whole => 4_096,
            Self::Segment => 1_024,
        }
    }
}

/// The floating type in which a score is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// CQL `float`.
    Single,
    /// CQL `double`.
    Double,
}

impl Precision {
    /// Returns `value` rounded to this type.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::Single => f64::from(value as f32),
            Self::Double => value,
        }
    }

    /// Clips a probability whose logarithm is taken to the type's epsilon and one minus it, as
    /// scikit-learn does.
    pub fn clip(self, probability: f64) -> f64 {
        let epsilon = match self {
            Self::Single => f64::from(f32::EPSILON),
            Self::Double => f64::EPSILON,
        };
        probability.max(epsilon).min(1.0 - epsilon)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;
