//! Why a cell cannot become tensor values.

use crate::domain::{job::Place, rejection::Rejection};

/// Why a cell cannot become tensor values.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The cell is null and the rule rejects that.
    Null,
    /// Zero bytes where the type has some: neither null nor a value.
    Empty,
    /// A null inside a list.
    NullElement,
    /// Bytes that are no value of the column's type.
    Malformed,
    /// An integer that the floating element cannot hold exactly.
    Inexact(i128),
    /// A number beyond the element's range.
    Overflow(String),
    /// A stored NaN or infinity under `nonfinite = "reject"`.
    NonFinite,
    /// A list of another length than the place.
    Width {
        /// Elements found.
        got: usize,
        /// Values wanted.
        want: usize,
    },
    /// A decimal of thousands of digits.
    TooManyDigits,
    /// The pair of column type and element has no conversion (compile refuses it).
    Unsupported,
}

impl Fault {
    /// The row's rejection, naming the feature.
    pub fn reject(&self, place: &Place) -> Rejection {
        let feature = &place.feature;
        let element = place.rule.element;
        match self {
            Self::Null => Rejection::new("null", format!("feature `{feature}` is null")),
            Self::Empty => Rejection::new(
                "empty",
                format!("feature `{feature}` is an empty value, not a number and not null"),
            ),
            Self::NullElement => Rejection::new(
                "null",
                format!("feature `{feature}` holds a null among its elements"),
            ),
            Self::Malformed => Rejection::new(
                "malformed",
                format!(
                    "feature `{feature}` holds bytes that are no {}",
                    place.rule.cql_type
                ),
            ),
            Self::Inexact(number) => Rejection::new(
                "inexact",
                format!(
                    "feature `{feature}`: {number} cannot be held exactly by {} \
                     (`cast = \"lossy\"` would round it)",
                    element.name()
                ),
            ),
            Self::Overflow(number) => Rejection::new(
                "overflow",
                format!(
                    "feature `{feature}`: {number} is beyond the range of {}",
                    element.name()
                ),
            ),
            Self::NonFinite => Rejection::new(
                "nonfinite",
                format!("feature `{feature}` is NaN or infinite"),
            ),
            Self::Width { got, want } => Rejection::new(
                "width",
                format!("feature `{feature}` has {got} elements, the model takes {want}"),
            ),
            Self::TooManyDigits => Rejection::new(
                "overflow",
                format!("feature `{feature}` has too many digits"),
            ),
            Self::Unsupported => Rejection::new(
                "unsupported",
                format!(
                    "feature `{feature}`: {} cannot become {}",
                    place.rule.cql_type,
                    element.name()
                ),
            ),
        }
    }
}
