//! Distributions as columns: of references and of profiles.

use scylla::SerializeRow;

use crate::{
    domain::evidence::drift::{Bins, Distribution},
    store::driver::columns::Cell,
};

const RANGES: &str = "ranges";
const VALUES: &str = "values";
const TEXTS: &str = "texts";

/// The columns of a [`Distribution`].
#[derive(Debug, Clone, Default, SerializeRow)]
pub(super) struct DistributionColumns {
    pub kind: Option<String>,
    pub edges: Option<Vec<f64>>,
    pub names: Option<Vec<String>>,
    pub cells: Option<Vec<i64>>,
    pub offsets: Option<Vec<f64>>,
    pub nulls: Option<i64>,
    pub nans: Option<i64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub mean: Option<f64>,
    pub std: Option<f64>,
}

/// Their names.
pub(super) const COLUMNS: &str =
    "kind, edges, names, cells, offsets, nulls, nans, min, max, mean, std";

/// Declares a row that is read: its own fields, then the columns of a distribution.
macro_rules! distribution_row {
    (struct $row:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(scylla::DeserializeRow)]
        struct $row {
            $($field: $type,)*
            kind: Option<String>,
            edges: Option<Vec<f64>>,
            names: Option<Vec<String>>,
            cells: Option<Vec<i64>>,
            offsets: Option<Vec<f64>>,
            nulls: Option<i64>,
            nans: Option<i64>,
            min: Option<f64>,
            max: Option<f64>,
            mean: Option<f64>,
            std: Option<f64>,
        }

        impl $row {
            /// Returns the distribution, or what is wrong with the row.
            fn distribution(&mut self) -> Result<Distribution, String> {
                DistributionColumns {
                    kind: self.kind.take(),
                    edges: self.edges.take(),
                    names: self.names.take(),
                    cells: self.cells.take(),
                    offsets: self.offsets.take(),
                    nulls: self.nulls,
                    nans: self.nans,
                    min: self.min,
                    max: self.max,
                    mean: self.mean,
                    std: self.std,
                }
                .distribution()
            }
        }
    };
}
pub(super) use distribution_row;

impl From<&Distribution> for DistributionColumns {
    fn from(of: &Distribution) -> Self {
        let (kind, edges, names) = match &of.bins {
            Bins::Ranges(edges) => (RANGES, Some(edges.clone()), None),
            Bins::Values(values) => (VALUES, Some(values.clone()), None),
            Bins::Texts(texts) => (TEXTS, None, Some(texts.clone())),
        };
        Self {
            kind: Some(kind.to_owned()),
            edges,
            names,
            cells: Some(of.cells.iter().map(|rows| *rows as i64).collect()),
            offsets: Some(of.offsets.clone()).filter(|offsets| !offsets.is_empty()),
            nulls: Some(of.nulls as i64),
            nans: Some(of.nans as i64),
            min: of.min,
            max: of.max,
            mean: of.mean,
            std: of.std,
        }
    }
}

impl DistributionColumns {
    /// Returns the distribution, or what is wrong with a row that was not written by helenus.
    pub fn distribution(self) -> Result<Distribution, String> {
        let bins = match self.kind.as_deref() {
            Some(RANGES) => Bins::Ranges(self.edges.unwrap_or_default()),
            Some(VALUES) => Bins::Values(self.edges.unwrap_or_default()),
            Some(TEXTS) => Bins::Texts(self.names.unwrap_or_default()),
            kind => {
                return Err(format!(
                    "kind `{}` is not ranges, values or texts",
                    kind.unwrap_or("null")
                ));
            }
        };
        let cells = self.cells.unwrap_or_default();
        if cells.len() != bins.cells() {
            return Err(format!("{} cells, not {}", cells.len(), bins.cells()));
        }
        let is_ascending = match &bins {
            Bins::Ranges(edges) | Bins::Values(edges) => {
                edges.iter().all(|edge| edge.is_finite())
                    && edges.windows(2).all(|pair| pair[0] < pair[1])
            }
            Bins::Texts(names) => names.windows(2).all(|pair| pair[0] < pair[1]),
        };
        if !is_ascending {
            return Err("edges or names do not ascend".to_owned());
        }
        if cells.iter().any(|rows| *rows < 0) {
            return Err("a cell has less than 0 rows".to_owned());
        }
        Ok(Distribution {
            bins,
            cells: cells.into_iter().map(|rows| rows as u64).collect(),
            offsets: self.offsets.unwrap_or_default(),
            nulls: self.nulls.cell(),
            nans: self.nans.cell(),
            min: self.min,
            max: self.max,
            mean: self.mean,
            std: self.std,
            is_partial: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_people_wrote_oddly_are_refused_with_the_reason() {
        let good = DistributionColumns {
            kind: Some(RANGES.to_owned()),
            edges: Some(vec![1.0, 2.0]),
            cells: Some(vec![5, 6, 7]),
            ..DistributionColumns::default()
        };
        let read = good.clone().distribution().unwrap();
        assert_eq!((read.values(), read.nulls), (18, 0));
        let refused = |odd: DistributionColumns| odd.distribution().unwrap_err();
        let cells = DistributionColumns {
            cells: Some(vec![5, 6]),
            ..good.clone()
        };
        assert_eq!(refused(cells), "2 cells, not 3");
        let edges = DistributionColumns {
            edges: Some(vec![2.0, 1.0]),
            ..good.clone()
        };
        assert_eq!(refused(edges), "edges or names do not ascend");
        let kind = DistributionColumns { kind: None, ..good };
        assert_eq!(refused(kind), "kind `null` is not ranges, values or texts");
    }
}
