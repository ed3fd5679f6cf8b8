//! What is concluded about a feature or an output.

use std::fmt;

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

/// The verdicts with their spelling in tables.
const VERDICTS: [(DriftVerdict, &str); 8] = [
    (DriftVerdict::AllNull, "all_null"),
    (DriftVerdict::Constant, "constant"),
    (DriftVerdict::NewCategory, "new_category"),
    (DriftVerdict::Drifted, "drifted"),
    (DriftVerdict::TooFew, "too_few"),
    (DriftVerdict::Partial, "partial"),
    (DriftVerdict::NotComparable, "not_comparable"),
    (DriftVerdict::Stable, "stable"),
];

impl DriftVerdict {
    /// Returns all verdicts, the most serious first.
    pub fn all() -> impl Iterator<Item = Self> {
        VERDICTS.into_iter().map(|(verdict, _)| verdict)
    }

    /// Returns the spelling in tables.
    pub fn as_str(self) -> &'static str {
        let known = VERDICTS.iter().find(|(verdict, _)| *verdict == self);
        known.map_or("", |(_, text)| text)
    }

    /// Returns the verdict with this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let known = VERDICTS.iter().find(|(_, known)| *known == text);
        known.map(|(verdict, _)| *verdict)
    }

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

impl Cause {
    /// Returns the spelling in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Nulls => "nulls",
            Self::Nans => "nans",
            Self::NewValues => "new_values",
        }
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
