//! The distribution of one feature or output over some rows.

use super::Bins;

/// Counts over fixed bins, with what the bins do not show.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub bins: Bins,
    /// Rows in each cell of the bins.
    pub cells: Vec<u64>,
    /// For bins between edges: by cell, the sum of (value - the bin's lower edge); in the first bin
    /// its upper edge. Otherwise empty.
    pub offsets: Vec<f64>,
    /// Rows whose source cell is null, or that could not be converted.
    pub nulls: u64,
    /// Rows whose value is not a number.
    pub nans: u64,
    /// The smallest number; `None` for texts, and without numbers.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    pub mean: Option<f64>,
    /// Standard deviation of the population (divided by n).
    pub std: Option<f64>,
    /// Whether only some of the rows could be counted, chosen in a way that may matter: outputs of
    /// a run that did not score the rows that were unchanged.
    pub is_partial: bool,
}

impl Distribution {
    /// Returns the number of rows with a value.
    pub fn values(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.values() + self.nulls + self.nans
    }

    /// Returns whether all values are one.
    pub fn is_constant(&self) -> bool {
        match (self.min, self.max) {
            (Some(min), Some(max)) => min == max,
            _ => self.cells.iter().filter(|rows| **rows > 0).count() == 1,
        }
    }

    /// Returns the number of rows whose value has no cell of its own; `None` for bins between edges,
    /// where every value has one.
    pub fn others(&self) -> Option<u64> {
        self.cells.get(self.bins.others()?).copied()
    }

    /// Returns the distribution of a property that `rows` of `of` rows have.
    pub fn of_share(rows: u64, of: u64) -> Self {
        Self {
            bins: Bins::Values(vec![0.0, 1.0]),
            cells: vec![of.saturating_sub(rows), rows, 0],
            offsets: Vec::new(),
            nulls: 0,
            nans: 0,
            min: None,
            max: None,
            mean: None,
            std: None,
            is_partial: false,
        }
    }
}
