//! Counts the values of one feature or output while rows are read.
//!
//! Counters of splits are merged in any order with the same result, but for the order in which
//! floating-point sums are added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bins, Distribution};
use crate::domain::evidence::evaluation::{Merge, moments::Moments};

/// Rows of a run that are kept where nothing determines bins yet.
pub const SAMPLED_ROWS: usize = 4_096;
/// Maximum number of values of a run that are kept for this, over all features of a version.
pub const MAX_SAMPLED_VALUES: usize = 200_000;
/// Distinct texts that are told apart in such a sample.
const MAX_SAMPLED_TEXTS: usize = 1_024;

/// The values of one feature or output, counted or kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    values: Values,
    nulls: u64,
    nans: u64,
    min: f64,
    max: f64,
    moments: Moments,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Values {
    /// The number of rows in each cell of given bins, and the sum of their values' distances from
    /// the base of the bin.
    Counted { cells: Vec<u64>, offsets: Vec<f64> },
    /// The values themselves, as there are no bins yet.
    Numbers(Vec<f64>),
    /// Texts with their number of rows, as there are no bins yet.
    Texts {
        rows: BTreeMap<String, u64>,
        others: u64,
    },
}

impl Counter {
    /// Returns an empty counter: of these bins, or one that keeps values until bins can be made.
    pub fn new(bins: Option<&Bins>, is_text: bool) -> Self {
        Self {
            values: match bins {
                Some(bins) => Values::Counted {
                    cells: vec![0; bins.cells()],
                    offsets: match bins {
                        Bins::Ranges(_) => vec![0.0; bins.cells()],
                        Bins::Values(_) | Bins::Texts(_) => Vec::new(),
                    },
                },
                None if is_text => Values::Texts {
                    rows: BTreeMap::new(),
                    others: 0,
                },
                None => Values::Numbers(Vec::new()),
            },
            nulls: 0,
            nans: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            moments: Moments::default(),
        }
    }

    /// Adds a null.
    pub fn add_null(&mut self) {
        self.nulls += 1;
    }

    /// Adds a number; `bins` are those of [`Counter::new`].
    pub fn add_number(&mut self, bins: Option<&Bins>, value: f64) {
        if value.is_nan() {
            self.nans += 1;
            return;
        }
        // A negative zero is a zero.
        let value = value + 0.0;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.moments.add(value);
        match (&mut self.values, bins) {
            (Values::Counted { cells, offsets }, Some(bins)) => {
                let cell = bins.of_number(value);
                cells[cell] += 1;
                if let Some((offset, base)) = offsets.get_mut(cell).zip(bins.base(cell)) {
                    *offset += value - base;
                }
            }
            (Values::Numbers(numbers), _) => numbers.push(value),
            // Texts among numbers, or numbers among texts: a model has one type for each feature.
            (Values::Counted { .. } | Values::Texts { .. }, _) => self.nans += 1,
        }
    }

    /// Adds a text; `bins` are those of [`Counter::new`].
    pub fn add_text(&mut self, bins: Option<&Bins>, text: &str) {
        match (&mut self.values, bins) {
            (Values::Counted { cells, .. }, Some(bins)) => cells[bins.of_text(text)] += 1,
            (Values::Texts { rows, others }, _) => add_text(rows, others, text, 1),
            (Values::Counted { .. } | Values::Numbers(_), _) => self.nans += 1,
        }
    }

    /// Returns the number of rows added, nulls included.
    pub fn rows(&self) -> u64 {
        let values: u64 = match &self.values {
            Values::Counted { cells, .. } => cells.iter().sum(),
            Values::Numbers(numbers) => numbers.len() as u64,
            Values::Texts { rows, others } => rows.values().sum::<u64>() + others,
        };
        values + self.nulls + self.nans
    }

    /// Adds the counter of another split. Returns `false`, and adds nothing, if it counts otherwise.
    pub fn merge(&mut self, other: &Self) -> bool {
        match (&mut self.values, &other.values) {
            (
                Values::Counted { cells, offsets },
                Values::Counted {
                    cells: more,
                    offsets: far,
                },
            ) if cells.len() == more.len() && offsets.len() == far.len() => {
                cells.iter_mut().zip(more).for_each(|(a, b)| *a += b);
                offsets.iter_mut().zip(far).for_each(|(a, b)| *a += b);
            }
            (Values::Numbers(numbers), Values::Numbers(more)) => numbers.extend(more),
            (
                Values::Texts { rows, others },
                Values::Texts {
                    rows: more,
                    others: rest,
                },
            ) => {
                more.iter()
                    .for_each(|(text, count)| add_text(rows, others, text, *count));
                *others += rest;
            }
            _ => return false,
        }
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.moments.merge(&other.moments);
        true
    }

    /// Returns the distribution of what was added; `bins` are those of [`Counter::new`], and are
    /// made from the values if there were none.
    pub fn into_distribution(self, bins: Option<&Bins>) -> Distribution {
        let (bins, cells, offsets) = match (self.values, bins) {
            (Values::Counted { cells, offsets }, Some(bins)) => (bins.clone(), cells, offsets),
            (Values::Counted { cells, .. }, None) => {
                unreachable!("{} cells were counted without bins", cells.len())
            }
            (Values::Numbers(mut numbers), _) => {
                numbers.sort_by(f64::total_cmp);
                let bins = Bins::of_numbers(&numbers);
                let mut again = Self::new(Some(&bins), false);
                for number in numbers {
                    again.add_number(Some(&bins), number);
                }
                let Values::Counted { cells, offsets } = again.values else {
                    unreachable!("a counter of bins counts")
                };
                (bins, cells, offsets)
            }
            (Values::Texts { rows, others }, _) => {
                let bins = Bins::of_texts(&rows);
                let mut cells = vec![0; bins.cells()];
                for (text, count) in rows {
                    cells[bins.of_text(&text)] += count;
                }
                cells[bins.cells() - 1] += others;
                (bins, cells, Vec::new())
            }
        };
        let n = self.moments.n;
        Distribution {
            bins,
            cells,
            offsets,
            nulls: self.nulls,
            nans: self.nans,
            min: (n > 0).then_some(self.min),
            max: (n > 0).then_some(self.max),
            mean: self.moments.mean(),
            std: (n > 0).then(|| (self.moments.m2 / n as f64).sqrt()),
            is_partial: false,
        }
    }
}

fn add_text(rows: &mut BTreeMap<String, u64>, others: &mut u64, text: &str, count: u64) {
    if let Some(known) = rows.get_mut(text) {
        *known += count;
    } else if rows.len() < MAX_SAMPLED_TEXTS {
        rows.insert(text.to_owned(), count);
    } else {
        *others += count;
    }
}
