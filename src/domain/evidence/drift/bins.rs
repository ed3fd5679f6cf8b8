//! Fixed bins: what a value is counted as.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Number of bins of a number with many distinct values.
const BINS: usize = 20;
/// Maximum number of distinct numbers that are counted one by one.
const MAX_VALUES: usize = 20;
/// Rows that a value of the reference needs to be counted by itself.
const MIN_CELL_ROWS: usize = 5;
/// Maximum number of texts that are counted by name.
const MAX_TEXTS: usize = 64;
/// Longer texts count as others: they are content, not categories.
const MAX_TEXT_BYTES: usize = 128;

/// How the values of one feature or output are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Bins {
    /// Edges between bins, ascending and distinct. Bin i holds `[edges[i - 1], edges[i])`; the first
    /// begins at minus infinity, the last ends at infinity.
    Ranges(Vec<f64>),
    /// Numbers counted one by one, ascending, then one cell for all others.
    Values(Vec<f64>),
    /// Texts counted by name, ascending, then one cell for all others.
    Texts(Vec<String>),
}

impl Bins {
    /// Returns the bins of a reference's numbers, which must be sorted and not NaN. Infinite ones are
    /// in no edge.
    pub fn of_numbers(sorted: &[f64]) -> Self {
        let from = sorted.partition_point(|value| *value == f64::NEG_INFINITY);
        let to = sorted.partition_point(|value| *value < f64::INFINITY);
        let sorted = &sorted[from..to.max(from)];
        let values: Vec<(f64, usize)> = sorted
            .chunk_by(|a, b| a == b)
            .take(MAX_VALUES + 1)
            .map(|same| (same[0], same.len()))
            .collect();
        // A value that is rare among the reference's rows is one of others that they miss.
        let is_complete = values.iter().all(|(_, rows)| *rows >= MIN_CELL_ROWS);
        match values.len() <= MAX_VALUES && is_complete {
            true => Self::Values(values.into_iter().map(|(value, _)| value).collect()),
            false => Self::Ranges(quantile_edges(sorted, BINS)),
        }
    }

    /// Returns the bins of a reference's texts with their number of rows: the most frequent. Rare ones
    /// count as others, like those that the reference happens to miss.
    pub fn of_texts(rows: &BTreeMap<String, u64>) -> Self {
        let mut texts: Vec<(&String, u64)> = rows
            .iter()
            .map(|(text, rows)| (text, *rows))
            .filter(|(text, rows)| text.len() <= MAX_TEXT_BYTES && *rows >= MIN_CELL_ROWS as u64)
            .collect();
        texts.sort_by(|(a, more), (b, less)| less.cmp(more).then(a.cmp(b)));
        texts.truncate(MAX_TEXTS);
        let mut names: Vec<String> = texts.into_iter().map(|(text, _)| text.clone()).collect();
        names.sort();
        Self::Texts(names)
    }

    /// Returns the number of cells that values are counted in.
    pub fn cells(&self) -> usize {
        1 + match self {
            Self::Ranges(edges) => edges.len(),
            Self::Values(values) => values.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Returns the cell of all values that have no cell of their own, if there is one.
    pub fn others(&self) -> Option<usize> {
        match self {
            Self::Ranges(_) => None,
            Self::Values(values) => Some(values.len()),
            Self::Texts(texts) => Some(texts.len()),
        }
    }

    /// Returns the cell of a number that is not NaN; a number among texts has none of its own.
    pub fn of_number(&self, value: f64) -> usize {
        match self {
            Self::Ranges(edges) => edges.partition_point(|edge| *edge <= value),
            Self::Values(values) => values
                .binary_search_by(|known| known.total_cmp(&value))
                .unwrap_or(values.len()),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Returns the cell of a text; a text among numbers has none of its own.
    pub fn of_text(&self, text: &str) -> usize {
        match self {
            Self::Texts(texts) => texts
                .binary_search_by(|known| known.as_str().cmp(text))
                .unwrap_or(texts.len()),
            Self::Values(values) => values.len(),
            Self::Ranges(edges) => edges.len(),
        }
    }

    /// Returns where the offsets of a cell's numbers are counted from, for bins between edges.
    pub(super) fn base(&self, cell: usize) -> Option<f64> {
        match self {
            Self::Ranges(edges) if edges.is_empty() => Some(0.0),
            Self::Ranges(edges) => edges.get(cell.saturating_sub(1)).copied(),
            Self::Values(_) | Self::Texts(_) => None,
        }
    }

    /// Returns a name for each cell, for people.
    pub fn names(&self) -> Vec<String> {
        let others = |mut names: Vec<String>| {
            names.push("(others)".to_owned());
            names
        };
        match self {
            Self::Ranges(edges) => {
                let ends = edges.iter().map(|edge| short(*edge));
                let ends: Vec<String> = ends.collect();
                (0..=edges.len())
                    .map(
                        |cell| match (cell.checked_sub(1).map(|at| &ends[at]), ends.get(cell)) {
                            (None, None) => "all".to_owned(),
                            (None, Some(end)) => format!("< {end}"),
                            (Some(start), Some(end)) => format!("{start} to {end}"),
                            (Some(start), None) => format!(">= {start}"),
                        },
                    )
                    .collect()
            }
            Self::Values(values) => others(values.iter().map(f64::to_string).collect()),
            Self::Texts(texts) => others(texts.clone()),
        }
    }
}

/// Formats a number in at most five significant digits.
fn short(value: f64) -> String {
    let digits = value.abs().log10().floor();
    match digits {
        _ if value == 0.0 => "0".to_owned(),
        large if !(-4.0..6.0).contains(&large) => format!("{value:.3e}"),
        _ => {
            let decimals = (4.0 - digits).clamp(0.0, 8.0) as usize;
            let text = format!("{value:.decimals$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

/// Returns the edges between `bins` bins that hold equal shares of `sorted`: its quantiles with
/// linear interpolation, as NumPy computes them, each once, without the smallest and the largest.
pub(super) fn quantile_edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    // The probabilities of `numpy.linspace`: a rounded one decides where a value on an edge belongs.
    let step = 1.0 / bins as f64;
    let probability = |at| if at == bins { 1.0 } else { at as f64 * step };
    let mut edges: Vec<f64> = (0..=bins)
        .filter_map(|at| quantile(sorted, probability(at)))
        .collect();
    edges.dedup();
    if edges.len() > 2 {
        return edges[1..edges.len() - 1].to_vec();
    }
    // Nearly all values are one: the others are one bin.
    let usual = sorted.get(sorted.len() / 2);
    let above = usual.and_then(|usual| sorted.iter().find(|value| *value > usual));
    above.or(usual).copied().into_iter().collect()
}

/// Returns a quantile of sorted numbers by linear interpolation (NumPy's default).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * (sorted.len().checked_sub(1)?) as f64;
    let below = at.floor();
    let (a, part) = (sorted[below as usize], at - below);
    let b = sorted[sorted.len().min(below as usize + 2) - 1];
    if part == 0.0 || a == b {
        return Some(a);
    }
    // From the nearer end, as NumPy does.
    Some(match part < 0.5 {
        true => a + (b - a) * part,
        false => b - (b - a) * (1.0 - part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8, 16], numpy.linspace(0, 1, 5))
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert_eq!(quantile_edges(&sorted, 4), [2.0, 4.0, 8.0]);
        // numpy.quantile([1, 2, 4, 8, 16], [1/3, 2/3])
        let edges = quantile_edges(&sorted, 3);
        assert!(
            (edges[0] - 2.666_666_666_666_666_5).abs() < 1e-15,
            "{edges:?}"
        );
        assert!(
            (edges[1] - 6.666_666_666_666_666).abs() < 1e-14,
            "{edges:?}"
        );
    }

    #[test]
    fn few_numbers_are_counted_one_by_one_and_many_in_ranges() {
        let few: Vec<f64> = (0..400).map(|at| f64::from(at / 20)).collect();
        let bins = Bins::of_numbers(&few);
        assert!(matches!(&bins, Bins::Values(values) if values.len() == 20));
        assert_eq!((bins.of_number(3.0), bins.of_number(3.5)), (3, 20));
        let many: Vec<f64> = (0..400).map(f64::from).collect();
        let bins = Bins::of_numbers(&many);
        assert_eq!(bins.cells(), 20);
        assert_eq!(bins.of_number(f64::NEG_INFINITY), 0);
        assert_eq!(bins.of_number(f64::INFINITY), 19);
    }

    #[test]
    fn an_edge_belongs_to_the_bin_above_it() {
        let bins = Bins::Ranges(vec![1.0, 2.0]);
        let cells = [0.5, 1.0, 1.5, 2.0, 3.0].map(|value| bins.of_number(value));
        assert_eq!(cells, [0, 1, 1, 2, 2]);
        assert_eq!(bins.names(), ["< 1", "1 to 2", ">= 2"]);
    }

    #[test]
    fn a_feature_that_is_nearly_always_the_same_still_has_two_bins() {
        let mut values = vec![0.0; 2_000];
        values.extend((1..=21).map(f64::from));
        let Bins::Ranges(edges) = Bins::of_numbers(&values) else {
            panic!("22 distinct values");
        };
        assert_eq!(edges, [1.0]);
    }

    #[test]
    fn numbers_with_rare_values_are_counted_in_ranges_and_rare_texts_as_others() {
        let mut values = vec![0.0; 200];
        values.extend([1.0; 4]);
        assert_eq!(Bins::of_numbers(&values), Bins::Ranges(vec![1.0]));
        values.push(1.0);
        assert_eq!(Bins::of_numbers(&values), Bins::Values(vec![0.0, 1.0]));
        let rows = [("Oslo".to_owned(), 5), ("Rome".to_owned(), 4)].into();
        assert_eq!(Bins::of_texts(&rows), Bins::Texts(vec!["Oslo".to_owned()]));
    }

    #[test]
    fn only_the_most_frequent_texts_have_cells() {
        let rows: BTreeMap<String, u64> = (0..100_u64)
            .map(|at| (format!("{at:03}"), 100 + at))
            .chain([("x".repeat(200), 1_000)])
            .collect();
        let bins = Bins::of_texts(&rows);
        assert_eq!(bins.cells(), 65);
        assert_eq!(bins.of_text("035"), 64);
        assert_eq!(bins.of_text("036"), 0);
        assert_eq!(Some(bins.of_text(&"x".repeat(200))), bins.others());
    }
}
