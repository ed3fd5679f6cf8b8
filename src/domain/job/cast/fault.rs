//! Reasons why a cell cannot be converted to tensor values.

use crate::domain::job::{Place, rejection::Rejection};

#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The cell is null and the rule rejects that.
    Null,
    /// Zero bytes for a type that requires some: neither null nor a value.
    Empty,
    /// A null inside a list.
    NullElement,
    /// Bytes that are not a valid value of the column's type.
    Malformed,
    /// An integer that the floating element cannot hold exactly.
    Inexact(i128),
    /// A number outside the element's range.
    Overflow(String),
    /// A stored NaN or infinity under `nonfinite = "reject"`.
    NonFinite,
    /// A list whose length differs from the place's width.
    Width {
        /// Elements found.
        got: usize,
        /// Values required.
        want: usize,
    },
    /// A decimal of thousands of digits.
    TooManyDigits,
    /// Content that cannot be prepared: a stable code, and the reason.
    Unprepared(&'static str, String),
    /// The column type cannot be converted to the element type (compilation rejects such a pair).
    Unsupported,
}

impl Fault {
    /// Returns the row's rejection, which names the feature.
    pub fn reject(&self, place: &Place) -> Rejection {
        let feature = &place.feature;
        let element = place.conversion.element();
        match self {
            Self::Null => Rejection::new("null", format!("feature `{feature}` is null")),
            Self::Empty => Rejection::new(
                "empty",
                format!(
                    "feature `{feature}` is an empty value, which is neither {} nor null",
                    match place.rule() {
                        Some(_) => "a number",
                        None => "content",
                    }
                ),
            ),
            Self::NullElement => {
                Rejection::new("null", format!("feature `{feature}` has a null element"))
            }
            Self::Malformed => Rejection::new(
                "malformed",
                format!(
                    "feature `{feature}` holds bytes that are not a valid {}",
                    place.conversion.cql_type()
                ),
            ),
            Self::Inexact(number) => Rejection::new(
                "inexact",
                format!(
                    "feature `{feature}`: {} cannot represent {number} exactly \
                     (`cast = \"lossy\"` would round it)",
                    element.name()
                ),
            ),
            Self::Overflow(number) => Rejection::new(
                "overflow",
                format!(
                    "feature `{feature}`: {number} is out of range for {}",
                    element.name()
                ),
            ),
            Self::NonFinite => Rejection::new(
                "nonfinite",
                format!("feature `{feature}` is NaN or infinite"),
            ),
            Self::Width { got, want } => Rejection::new(
                "width",
                format!(
                    "feature `{feature}` has {got} elements, but the model takes {want}{}",
                    match got < want {
                        true => " (`pad` in its [features] entry would fill shorter lists)",
                        false => "",
                    }
                ),
            ),
            Self::TooManyDigits => Rejection::new(
                "overflow",
                format!("feature `{feature}` has too many digits"),
            ),
            Self::Unprepared(code, reason) => {
                Rejection::new(code, format!("feature `{feature}`: {reason}"))
            }
            Self::Unsupported => Rejection::new(
                "unsupported",
                format!(
                    "feature `{feature}`: {} cannot be converted to {}",
                    place.conversion.cql_type(),
                    element.name()
                ),
            ),
        }
    }
}
