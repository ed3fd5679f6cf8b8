//! One entity as a pass shows it.

use crate::domain::proof::Prediction;

/// A source row with everything that stands for it.
#[derive(Debug)]
pub struct Entity<'a> {
    /// Its key cells, in the order of `CompiledJob::key`.
    pub key: &'a [Option<&'a [u8]>],
    /// [`crate::domain::group::hash_of`] its partition.
    pub group: u64,
    /// In the order of [`super::Scope::versions`].
    pub versions: &'a [Standing<'a>],
    /// Its cell of the segment column; `None` as well where none was asked for.
    pub segment: Option<&'a [u8]>,
    /// Its row in the table of labels; `None`: there is none, or no labels were asked for.
    pub label: Option<Label<'a>>,
}

/// What a version says of a source row.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// Nothing.
    Missing,
    /// It could not score the row as it is, or was by that time.
    Rejected(Prediction<'a>),
    /// It was made of other values or by another model than today's; it may be a rejection.
    Stale(Prediction<'a>),
    /// It is about the row as it is now; or it is the last that was made by the time that the fold
    /// asks for, whatever the row was then.
    Current(Prediction<'a>),
}

/// A row of the table of labels.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The label cell.
    pub value: Option<&'a [u8]>,
    /// The cell of the column that tells when it was known; `None` as well where none was named.
    pub time: Option<&'a [u8]>,
}
