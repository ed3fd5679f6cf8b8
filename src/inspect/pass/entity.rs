//! One entity as a pass presents it.

use crate::{codec::cql_type::CqlType, domain::model::proof::Prediction};

const DAY_MS: i64 = 86_400_000;

/// A source row with its stored predictions and its label.
#[derive(Debug)]
pub struct Entity<'a> {
    /// Its key cells, in the order of `CompiledJob::key`.
    pub key: &'a [Option<&'a [u8]>],
    /// Its key cells, then the cells of the job's columns.
    pub cells: &'a [Option<&'a [u8]>],
    /// A hash of its key.
    pub hash: u64,
    /// [`crate::domain::evidence::group::hash_of`] its partition key.
    pub group: u64,
    /// The state of each version's prediction, in the order of [`super::Scope::versions`].
    pub versions: &'a [Standing<'a>],
    /// Its cell of the segment column; `None` if the cell is null or no segment column was
    /// requested.
    pub segment: Option<&'a [u8]>,
    /// Its row in the table of labels; `None` if there is no such row, or no labels were requested.
    pub label: Option<Label<'a>>,
}

/// The state of a version's prediction of a source row.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// There is no prediction.
    Missing,
    /// A rejection of the row as it is now, or as it was by the time that the fold asks for.
    Rejected(Prediction<'a>),
    /// Made from other values or by another model than today's; it may be a rejection.
    Stale(Prediction<'a>),
    /// A prediction of the row as it is now. If the fold asks for a time, the last prediction made
    /// before that time, whatever the row was then.
    Current(Prediction<'a>),
}

/// A row of the table of labels.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The label cell.
    pub value: Option<&'a [u8]>,
    /// The cell of the column that says when the label was known; `None` if the cell is null or no
    /// such column was named.
    pub time: Option<&'a [u8]>,
}

impl Label<'_> {
    /// Returns when the label was known, in milliseconds since 1970. `cql_type`: that of the time
    /// column, a timestamp or a date (UTC; its first moment counts).
    pub fn known_at(&self, cql_type: &CqlType) -> Option<i64> {
        let bytes = self.time?;
        match cql_type.thawed() {
            CqlType::Date => {
                let days = u32::from_be_bytes(bytes.try_into().ok()?);
                Some((i64::from(days) - (1 << 31)) * DAY_MS)
            }
            _ => bytes.try_into().ok().map(i64::from_be_bytes),
        }
    }
}
