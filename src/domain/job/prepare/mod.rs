//! Features that are prepared: content such as a document's bytes, which becomes a whole input.
//!
//! Preparing costs much more than reading, so it waits until a row must be scored. The row's hash
//! covers the cell's bytes and, by the version's prefix, every option; content that cannot be
//! prepared rejects its row under the same hash. [`TypedRows`] carries the cells from the scan to
//! the scorer.

pub mod bytes;
pub mod rows;

use serde_json::Value;

pub use self::{
    bytes::BytesRule,
    rows::{PreparedPart, TypedRows, Unprepared},
};
use super::cast::Fault;
use crate::{
    codec::cql_type::CqlType,
    domain::model::tensor::{Element, TensorData},
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
}

impl Preparation {
    /// Returns the cell's content.
    ///
    /// # Errors
    /// [`Fault::Null`] and [`Fault::Empty`]: content that is missing is never prepared.
    pub fn check<'c>(&self, cell: Option<&'c [u8]>) -> Result<&'c [u8], Fault> {
        match cell {
            None => Err(Fault::Null),
            Some([]) => Err(Fault::Empty),
            Some(content) => Ok(content),
        }
    }

    /// Appends the input's values for one row to `data`. After a fault, `data` may hold some of
    /// them; the caller removes them.
    ///
    /// # Errors
    /// [`Fault::Unprepared`] with the reason.
    pub fn append(&self, content: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        self.kind.append(content, data)
    }

    /// Returns `as` and all options that change a value, for the mapping's fingerprint.
    pub fn fingerprint(&self) -> Value {
        match &self.kind {
            PreparationKind::Bytes(rule) => rule.fingerprint(),
        }
    }

    /// Returns `as` and its options as a plan shows them.
    pub fn describe(&self) -> String {
        match &self.kind {
            PreparationKind::Bytes(rule) => rule.describe(),
        }
    }
}

impl PreparationKind {
    /// Appends the values of one row to `data`.
    ///
    /// # Errors
    /// As [`Preparation::append`].
    pub fn append(&self, content: &[u8], data: &mut TensorData) -> Result<(), Fault> {
        match self {
            Self::Bytes(rule) => rule.append(content, data),
        }
    }

    /// Returns the names of what [`PreparationKind::measure`] measures.
    pub fn measures(&self) -> &'static [&'static str] {
        match self {
            Self::Bytes(_) => &["bytes"],
        }
    }

    /// Measures a content without preparing it, for profiles: one number for each of
    /// [`PreparationKind::measures`].
    pub fn measure(&self, content: &[u8]) -> Vec<f64> {
        let bytes = content.len() as f64;
        match self {
            Self::Bytes(_) => vec![bytes],
        }
    }
}
