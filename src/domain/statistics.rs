//! What the outputs of a run look like: one pass, mergeable, bounded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sketches_ddsketch::{Config, DDSketch};

use super::{cells::CellBuffer, cql_type::CqlType, job::OutputColumn};

/// Distinct values counted up to here; beyond, "at least".
const DISTINCT_CAP: usize = 256;
/// Labels kept by name; the rest are counted together.
const LABEL_CAP: usize = 64;
/// Fewer scored rows than this say nothing about shares or constancy.
const ENOUGH_ROWS: u64 = 100;
/// A label share that moved by more than this since the last run is a warning.
const SHARE_MOVED: f64 = 0.20;

/// Statistics of one version's output columns, by column name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct OutputStatistics {
    columns: BTreeMap<String, ColumnStatistics>,
}

#[derive(Clone, Serialize, Deserialize)]
enum ColumnStatistics {
    Number(Numbers),
    Label(Labels),
}

#[derive(Clone, Serialize, Deserialize)]
struct Numbers {
    count: u64,
    nan: u64,
    min: f64,
    max: f64,
    sum: f64,
    /// Quantiles within 1 % relative error (Masson, Rim, Lee 2019).
    sketch: DDSketch,
    distinct: BTreeSet<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Labels {
    count: u64,
    shares: BTreeMap<String, u64>,
    others: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            count: 0,
            nan: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            sketch: DDSketch::new(Config::defaults()),
            distinct: BTreeSet::new(),
        }
    }
}

impl Numbers {
    fn add(&mut self, value: f64) {
        if value.is_nan() {
            self.nan += 1;
            return;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        if value.is_finite() {
            self.sketch.add(value);
        }
        if self.distinct.len() < DISTINCT_CAP {
            self.distinct.insert(value.to_bits());
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.nan += other.nan;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        // Both sketches have the same configuration, which is all that merging can fail on.
        let _ = self.sketch.merge(&other.sketch);
        let room = DISTINCT_CAP.saturating_sub(self.distinct.len());
        let new: Vec<u64> = other.distinct.difference(&self.distinct).copied().collect();
        self.distinct.extend(new.into_iter().take(room));
    }

    fn to_json(&self) -> Value {
        // The sketch errs by up to 1 %: never beyond what was seen.
        let quantile = |q: f64| {
            let value = self.sketch.quantile(q).ok().flatten()?;
            Some(value.max(self.min).min(self.max))
        };
        json!({
            "count": self.count,
            "nan": self.nan,
            "min": finite(self.min),
            "max": finite(self.max),
            "mean": (self.count > 0).then(|| self.sum / self.count as f64),
            "p01": quantile(0.01), "p25": quantile(0.25), "p50": quantile(0.5),
            "p75": quantile(0.75), "p99": quantile(0.99),
            "distinct": self.distinct.len(),
            "distinct_capped": self.distinct.len() >= DISTINCT_CAP,
        })
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Labels {
    fn add(&mut self, label: &str, rows: u64) {
        self.count += rows;
        if let Some(share) = self.shares.get_mut(label) {
            *share += rows;
        } else if self.shares.len() < LABEL_CAP {
            self.shares.insert(label.to_owned(), rows);
        } else {
            self.others += rows;
        }
    }
}

impl std::fmt::Debug for OutputStatistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_json().fmt(f)
    }
}

impl OutputStatistics {
    /// Adds the output cells of one row; `cells` holds `columns` in order.
    pub fn add_row(&mut self, columns: &[OutputColumn], cells: &CellBuffer, row: usize) {
        for (column, cell) in columns.iter().zip(cells.row(row)) {
            let Some(cell) = cell else { continue };
            if let Some(value) = number(&column.cql_type, cell) {
                if let Some(numbers) = self.numbers(&column.name) {
                    numbers.add(value);
                }
            } else if let Some(label) = label(&column.cql_type, cell)
                && let Some(labels) = self.labels(&column.name)
            {
                labels.add(&label, 1);
            }
        }
    }

    /// A column's type never changes within a run, so the other kind is never found.
    fn numbers(&mut self, name: &str) -> Option<&mut Numbers> {
        if !self.columns.contains_key(name) {
            let fresh = ColumnStatistics::Number(Numbers::default());
            self.columns.insert(name.to_owned(), fresh);
        }
        match self.columns.get_mut(name) {
            Some(ColumnStatistics::Number(numbers)) => Some(numbers),
            _ => None,
        }
    }

    fn labels(&mut self, name: &str) -> Option<&mut Labels> {
        if !self.columns.contains_key(name) {
            let fresh = ColumnStatistics::Label(Labels::default());
            self.columns.insert(name.to_owned(), fresh);
        }
        match self.columns.get_mut(name) {
            Some(ColumnStatistics::Label(labels)) => Some(labels),
            _ => None,
        }
    }

    /// Adds another split's statistics.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.columns {
            match theirs {
                ColumnStatistics::Number(theirs) => {
                    if let Some(mine) = self.numbers(name) {
                        mine.merge(theirs);
                    }
                }
                ColumnStatistics::Label(theirs) => {
                    let Some(mine) = self.labels(name) else {
                        continue;
                    };
                    for (label, rows) in &theirs.shares {
                        mine.add(label, *rows);
                    }
                    mine.count += theirs.others;
                    mine.others += theirs.others;
                }
            }
        }
    }

    /// As stored in `runs.output_statistics`.
    pub fn to_json(&self) -> Value {
        let columns = self.columns.iter().map(|(name, column)| {
            let value = match column {
                ColumnStatistics::Number(numbers) => numbers.to_json(),
                ColumnStatistics::Label(labels) => json!({
                    "count": labels.count, "labels": labels.shares, "others": labels.others,
                }),
            };
            (name.clone(), value)
        });
        Value::Object(columns.collect())
    }

    /// What a person should look at: constant outputs, and label shares that moved since `before`
    /// (the JSON form of the last run's statistics).
    pub fn warnings(&self, version: i32, before: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, column) in &self.columns {
            match column {
                ColumnStatistics::Number(numbers)
                    if numbers.count > ENOUGH_ROWS && numbers.distinct.len() == 1 =>
                {
                    warnings.push(format!(
                        "constant_output: version {version}: `{name}` is {} for all {} rows scored; is a scaler or a feature missing?",
                        numbers.min, numbers.count
                    ));
                }
                ColumnStatistics::Label(labels) => {
                    if labels.count > ENOUGH_ROWS && labels.shares.len() == 1 && labels.others == 0
                    {
                        let label = labels.shares.keys().next().map_or("", String::as_str);
                        warnings.push(format!(
                            "constant_output: version {version}: `{name}` is `{label}` for all {} rows scored",
                            labels.count
                        ));
                    }
                    let before = before.and_then(|before| before.get(name));
                    warnings.extend(labels.moved(name, version, before));
                }
                ColumnStatistics::Number(_) => {}
            }
        }
        warnings
    }
}

impl Labels {
    fn moved(&self, name: &str, version: i32, before: Option<&Value>) -> Vec<String> {
        let Some(before) = before else {
            return Vec::new();
        };
        let total = before.get("count").and_then(Value::as_u64).unwrap_or(0);
        if self.count < ENOUGH_ROWS || total < ENOUGH_ROWS {
            return Vec::new();
        }
        let empty = serde_json::Map::new();
        let old = before
            .get("labels")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let names: BTreeSet<&String> = old.keys().chain(self.shares.keys()).collect();
        names
            .into_iter()
            .filter_map(|label| {
                let was = old.get(label).and_then(Value::as_u64).unwrap_or(0) as f64 / total as f64;
                let is = self.shares.get(label).copied().unwrap_or(0) as f64 / self.count as f64;
                ((is - was).abs() > SHARE_MOVED).then(|| {
                    format!(
                        "label_share_moved: version {version}: `{name}` = `{label}` went from {:.0} % to {:.0} % of the rows scored since the last run",
                        was * 100.0,
                        is * 100.0
                    )
                })
            })
            .collect()
    }
}

/// The number in a float or double cell.
fn number(cql_type: &CqlType, cell: &[u8]) -> Option<f64> {
    match cql_type {
        CqlType::Float => cell
            .try_into()
            .ok()
            .map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        CqlType::Double => cell.try_into().ok().map(f64::from_be_bytes),
        _ => None,
    }
}

/// The label in a text, integer or boolean cell.
fn label<'a>(cql_type: &CqlType, cell: &'a [u8]) -> Option<std::borrow::Cow<'a, str>> {
    match cql_type {
        CqlType::Text | CqlType::Ascii => std::str::from_utf8(cell).ok().map(Into::into),
        CqlType::Bigint => {
            let bytes = cell.try_into().ok()?;
            Some(i64::from_be_bytes(bytes).to_string().into())
        }
        CqlType::Int => {
            let bytes = cell.try_into().ok()?;
            Some(i32::from_be_bytes(bytes).to_string().into())
        }
        CqlType::Boolean => Some(if cell == [0] { "false" } else { "true" }.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<OutputColumn> {
        [("label", CqlType::Text), ("p_yes", CqlType::Float)]
            .map(|(name, cql_type)| OutputColumn {
                name: name.to_owned(),
                cql_type,
                index: false,
                classes: Vec::new(),
            })
            .to_vec()
    }

    fn statistics(rows: impl IntoIterator<Item = (&'static str, f32)>) -> OutputStatistics {
        let mut statistics = OutputStatistics::default();
        let mut cells = CellBuffer::new(2);
        for (label, score) in rows {
            cells.clear();
            cells.push(Some(label.as_bytes()));
            cells.push(Some(&score.to_be_bytes()));
            statistics.add_row(&columns(), &cells, 0);
        }
        statistics
    }

    #[test]
    fn merged_parts_equal_one_pass_even_through_serialisation() {
        let rows: Vec<_> = (0..1_000)
            .map(|i| {
                (
                    if i % 3 == 0 { "yes" } else { "no" },
                    (i % 100) as f32 / 100.0,
                )
            })
            .collect();
        let whole = statistics(rows.clone());
        let mut merged = OutputStatistics::default();
        for part in rows.chunks(77) {
            let part = statistics(part.iter().copied());
            let config = bincode::config::standard();
            let bytes = bincode::serde::encode_to_vec(&part, config).unwrap();
            let (part, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
            merged.merge(&part);
        }
        let (mut merged, mut whole) = (merged.to_json(), whole.to_json());
        let means = [&mut merged, &mut whole].map(|json| json["p_yes"]["mean"].take());
        assert_eq!(merged, whole);
        assert!((means[0].as_f64().unwrap() - means[1].as_f64().unwrap()).abs() < 1e-12);
        assert_eq!(merged["p_yes"]["distinct"], 100);
        assert_eq!(merged["label"]["labels"]["yes"], 334);
    }

    #[test]
    fn a_constant_output_over_more_than_100_rows_is_a_warning() {
        assert!(
            statistics((0..100).map(|_| ("a", 0.5)))
                .warnings(1, None)
                .is_empty()
        );
        let warnings = statistics((0..101).map(|_| ("a", 0.5))).warnings(1, None);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn a_label_share_that_moved_by_more_than_20_points_is_a_warning() {
        let rows =
            |yes: usize| (0..1_000).map(move |i| (if i < yes { "yes" } else { "no" }, i as f32));
        let before = statistics(rows(300)).to_json();
        assert!(statistics(rows(490)).warnings(1, Some(&before)).is_empty());
        assert_eq!(statistics(rows(510)).warnings(1, Some(&before)).len(), 2);
    }
}
