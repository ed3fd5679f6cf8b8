//! What is concluded about a feature or an output.

use std::fmt;

use crate::domain::spelling::spelled;

/// The conclusion about one feature or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftVerdict {
    /// It has lost all its values.
    AllNull,
    /// It has only one value left.
    Constant,
    /// It has values that the reference does not have.
    NewCategory,
    /// It differs, by more than its threshold and more than by chance.
    Drifted,
    /// Too few rows have a value, here or in the reference.
    TooFew,
    /// An output of which this run scored only some rows.
    Partial,
    /// It was counted in other bins: the reference has changed since.
    NotComparable,
    /// It does not differ by more than its threshold, or not by more than by chance.
    Stable,
}

// The most serious first.
spelled! {
    DriftVerdict {
        AllNull => "all_null",
        Constant => "constant",
        NewCategory => "new_category",
        Drifted => "drifted",
        TooFew => "too_few",
        Partial => "partial",
        NotComparable => "not_comparable",
        Stable => "stable",
    }
}

impl DriftVerdict {
    /// Returns whether it says that something has changed.
    pub fn is_drift(self) -> bool {
        matches!(
            self,
            Self::AllNull | Self::Constant | Self::NewCategory | Self::Drifted
        )
    }
}

impl fmt::Display for DriftVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The shares of the cells: the population stability index, or the largest difference of a
    /// share.
    Shape,
    /// The share of nulls.
    Nulls,
    /// The share of values that are not a number.
    Nans,
    /// The share of values that the reference does not have.
    NewValues,
}

spelled! {
    Cause {
        Shape => "shape",
        Nulls => "nulls",
        Nans => "nans",
        NewValues => "new_values",
    }
}

/// Sizes from which a difference matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of the population stability index.
    pub psi: f64,
    /// Of the difference of a share: of nulls, of new values, of a label, of rejected rows.
    pub share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            psi: 0.2,
            share: 0.05,
        }
    }
}
