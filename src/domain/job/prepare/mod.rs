//! Features that are prepared: content such as a document's bytes, which becomes a whole input.
//!
//! Preparing costs much more than reading, so it waits until a row must be scored. The row's hash
//! covers the cell's bytes and, by the version's prefix, every option; content that cannot be
//! prepared rejects its row under the same hash. [`TypedRows`] carries the cells from the scan to
//! the scorer, and a [`Preparer`] prepares them, in this process or a separate one.

pub mod bytes;
pub mod image;
mod language;
mod measure;
mod plan;
mod preparer;
pub mod rows;
pub mod tokens;

use serde_json::{Value, json};

pub use self::{
    bytes::BytesRule,
    image::ImageRule,
    measure::{ContentMeasure, MeasuredContent},
    plan::PreparationPlan,
    preparer::{PreparedPart, Preparer},
    rows::{TypedRows, Unprepared},
    tokens::{CellTokens, TokenPart, TokensRule},
};
use super::cast::Fault;
use crate::{
    codec::cql_type::CqlType,
    domain::model::tensor::{Element, TensorData},
    failpoint,
};

/// Conversion of a cell to a whole input. Validated against column and input by compilation.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// The input's element type.
    pub element: Element,
    /// The column's type: blob or text.
    pub cql_type: CqlType,
    /// What is done.
    pub kind: PreparationKind,
}

/// `as` of a prepared feature.
#[derive(Debug, Clone, PartialEq)]
pub enum PreparationKind {
    /// `as = "bytes"`
    Bytes(BytesRule),
    /// `as = "tokens"`: one of the inputs that a text fills.
    Tokens(TokensRule),
    /// `as = "image"`
    Image(ImageRule),
}

impl Preparation {
    /// Returns the cell's content.
    ///
    /// # Errors
    /// [`Fault::Null`] and [`Fault::Empty`]: content that is missing is never prepared. An empty
    /// text is a text.
    pub fn check<'c>(&self, cell: Option<&'c [u8]>) -> Result<&'c [u8], Fault> {
        match cell {
            None => Err(Fault::Null),
            Some([]) if !matches!(self.kind, PreparationKind::Tokens(_)) => Err(Fault::Empty),
            Some(content) => Ok(content),
        }
    }

    /// Appends the input's values for one row to `data`. After a fault, `data` may hold some of
    /// them; the caller removes them.
    ///
    /// # Errors
    /// [`Fault::Unprepared`] with the reason.
    pub fn append(&self, content: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        self.kind.append(content, data, &mut CellTokens::default())
    }

    /// Returns `as` and all options that change a value, for the mapping's fingerprint.
    pub fn fingerprint(&self) -> Value {
        match &self.kind {
            PreparationKind::Bytes(rule) => rule.fingerprint(),
            PreparationKind::Tokens(rule) => rule.fingerprint(),
            PreparationKind::Image(rule) => rule.fingerprint(),
        }
    }

    /// Returns `as` and its options as a plan shows them.
    pub fn describe(&self) -> String {
        match &self.kind {
            PreparationKind::Bytes(rule) => rule.describe(),
            PreparationKind::Tokens(rule) => rule.describe(),
            PreparationKind::Image(rule) => rule.describe(),
        }
    }
}

impl PreparationKind {
    /// Appends the values of one row to `data`. `tokens` are shared by the inputs that one cell
    /// fills.
    ///
    /// # Errors
    /// As [`Preparation::append`].
    pub fn append(
        &self,
        content: &[u8],
        data: &mut TensorData,
        tokens: &mut CellTokens,
    ) -> Result<(), Fault> {
        failpoint::obey(content);
        match self {
            Self::Bytes(rule) => rule.append(content, data),
            Self::Tokens(rule) => rule.append(content, data, tokens),
            Self::Image(rule) => rule.append(content, data),
        }
    }

    /// Returns what the content's header says, for people: format, width and height of an image.
    /// `None` if it says nothing, or cannot be read.
    pub fn header(&self, content: &[u8]) -> Option<Value> {
        match self {
            Self::Bytes(_) | Self::Tokens(_) => None,
            Self::Image(rule) => rule.header(content).map(|(format, width, height)| {
                json!({"format": format, "width": width, "height": height})
            }),
        }
    }
}
