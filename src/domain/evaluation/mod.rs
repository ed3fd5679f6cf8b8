//! How good predictions are, from partial results that merge: one pass, bounded memory.
//!
//! Every row falls into one of [`GROUPS`] groups by a salted hash of its partition key, so that the
//! rows of one entity stay together. Intervals are delete-a-group jackknives over these groups
//! (Miller 1974; Kott 2001). A pass makes a partial result a split; merged in ring order they say
//! what a single pass would have said, within 1e-12.

pub mod binary;
pub mod calibration;
pub mod classes;
pub mod curve;
pub mod error_quantiles;
pub mod groups;
pub mod jackknife;
pub mod labels;
pub mod losses;
pub mod measure;
pub mod moments;
pub mod paired;
pub mod partial;
pub mod regression;
pub mod report;
pub mod score_bins;
pub mod sequence;
pub mod target;
pub mod threshold;

use serde::{Deserialize, Serialize};

/// Groups of the jackknife.
pub const GROUPS: u8 = 100;
/// What two splits found, brought together.
pub trait Merge {
    /// Adds what `other` found.
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

/// How finely a partial result counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detail {
    /// Of all rows: 4,096 bins, 256 bins by each of 100 groups.
    Whole,
    /// Of one segment among many: 1,024 bins, 64 bins by each of 25 groups.
    Segment,
}

impl Detail {
    /// The group as it is counted here.
    pub fn group(self, group: u8) -> u8 {
        match self {
            Self::Whole => group,
            Self::Segment => group / 4,
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
    /// `value` as this type holds it.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::Single => f64::from(value as f32),
            Self::Double => value,
        }
    }

    /// Smallest and largest probability whose logarithm is taken: epsilon of the type and one minus
    /// it, as scikit-learn clips.
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
