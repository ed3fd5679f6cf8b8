//! Statistics of a run's outputs: computed in one pass, mergeable, bounded in size.
//!
//! While a split is scored, [`OutputAccumulator`] collects them by column index: it is on the hot
//! path. A finished split stores them by column name, as [`OutputStatistics`].

pub mod warning;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sketches_ddsketch::{Config, DDSketch};

use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType},
    domain::job::OutputColumn,
};
use warning::{CONSTANT, MIN_ROWS, MOVED};

/// Maximum number of distinct values counted; a count that reaches it means "at least".
const DISTINCT_CAP: usize = 256;
/// Maximum number of labels counted by name; further labels are counted together.
const LABEL_CAP: usize = 64;
/// Change of a label's share since the last run above which there is a warning.
const MAX_SHARE_CHANGE: f64 = 0.20;

/// Statistics of one version's output columns, aligned with the job's output columns by index.
#[derive(Default)]
pub struct OutputAccumulator {
    /// One entry per output column once a row was added; `None` until the column has a value.
    columns: Vec<Option<ColumnStatistics>>,
}

/// Statistics of one version's output columns, by column name. Columns without a value are absent.
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
    /// Quantiles with a relative error of at most 1 % (Masson, Rim, Lee 2019).
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
        // Merging fails only if the configurations differ, and all sketches have the same one.
        let _ = self.sketch.merge(&other.sketch);
        let room = DISTINCT_CAP.saturating_sub(self.distinct.len());
        let new: Vec<u64> = other.distinct.difference(&self.distinct).copied().collect();
        self.distinct.extend(new.into_iter().take(room));
    }

    fn to_json(&self) -> Value {
        // The sketch's error of up to 1 % must not exceed the observed range.
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

    fn merge(&mut self, other: &Self) {
        for (label, rows) in &other.shares {
            self.add(label, *rows);
        }
        self.count += other.others;
        self.others += other.others;
    }
}

impl ColumnStatistics {
    /// Adds other statistics of the same column, whose type never changes within a run.
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(numbers), Self::Number(other)) => numbers.merge(other),
            (Self::Label(labels), Self::Label(other)) => labels.merge(other),
            _ => {}
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Number(numbers) => numbers.to_json(),
            Self::Label(labels) => json!({
                "count": labels.count, "labels": labels.shares, "others": labels.others,
            }),
        }
    }
}

impl OutputAccumulator {
    /// Adds the output cells of one row; `cells` holds `columns` in order. `columns` are the same
    /// in each call.
    pub fn add_row(&mut self, columns: &[OutputColumn], cells: &CellBuffer, row: usize) {
        self.columns.resize_with(columns.len(), || None);
        let aligned = self.columns.iter_mut().zip(columns);
        for ((statistics, column), cell) in aligned.zip(cells.row(row)) {
            let Some(cell) = cell else { continue };
            if let Some(value) = number(&column.cql_type, cell) {
                let fresh = || ColumnStatistics::Number(Numbers::default());
                if let ColumnStatistics::Number(numbers) = statistics.get_or_insert_with(fresh) {
                    numbers.add(value);
                }
            } else if let Some(label) = label(&column.cql_type, cell) {
                let fresh = || ColumnStatistics::Label(Labels::default());
                if let ColumnStatistics::Label(labels) = statistics.get_or_insert_with(fresh) {
                    labels.add(&label, 1);
                }
            }
        }
    }

    /// Adds another accumulator's statistics of the same columns.
    pub fn merge(&mut self, other: Self) {
        let len = self.columns.len().max(other.columns.len());
        self.columns.resize_with(len, || None);
        for (statistics, other) in self.columns.iter_mut().zip(other.columns) {
            match (statistics.as_mut(), other) {
                (Some(statistics), Some(other)) => statistics.merge(&other),
                (None, Some(other)) => *statistics = Some(other),
                (_, None) => {}
            }
        }
    }

    /// Returns the statistics by name; `columns` are those of [`Self::add_row`].
    pub fn into_statistics(self, columns: &[OutputColumn]) -> OutputStatistics {
        let named = columns.iter().zip(self.columns);
        let named = named.filter_map(|(column, statistics)| {
            statistics.map(|statistics| (column.name.clone(), statistics))
        });
        OutputStatistics {
            columns: named.collect(),
        }
    }
}

impl std::fmt::Debug for OutputStatistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_json().fmt(f)
    }
}

impl OutputStatistics {
    /// Adds another split's statistics.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.columns {
            match self.columns.get_mut(name) {
                Some(mine) => mine.merge(theirs),
                None => {
                    self.columns.insert(name.clone(), theirs.clone());
                }
            }
        }
    }

    /// Returns the form stored in `runs.output_statistics`.
    pub fn to_json(&self) -> Value {
        let columns = self.columns.iter();
        Value::Object(
            columns
                .map(|(name, column)| (name.clone(), column.to_json()))
                .collect(),
        )
    }

    /// Returns warnings for people: constant outputs, and label shares that changed since `before`
    /// (the JSON form of the last run's statistics).
    pub fn warnings(&self, version: i32, before: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, column) in &self.columns {
            match column {
                ColumnStatistics::Number(numbers)
                    if numbers.count > MIN_ROWS && numbers.distinct.len() == 1 =>
                {
                    warnings.push(format!(
                        "{CONSTANT}: version {version}: `{name}` is {} for all {} rows scored; check for a missing scaler or feature",
                        numbers.min, numbers.count
                    ));
                }
                ColumnStatistics::Label(labels) => {
                    if labels.count > MIN_ROWS && labels.shares.len() == 1 && labels.others == 0 {
                        let label = labels.shares.keys().next().map_or("", String::as_str);
                        warnings.push(format!(
                            "{CONSTANT}: version {version}: `{name}` is `{label}` for all {} rows scored",
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
        if self.count < MIN_ROWS || total < MIN_ROWS {
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
                ((is - was).abs() > MAX_SHARE_CHANGE).then(|| {
                    format!(
                        "{MOVED}: version {version}: `{name}` = `{label}` changed from {:.0} % to {:.0} % of the scored rows since the last run",
                        was * 100.0,
                        is * 100.0
                    )
                })
            })
            .collect()
    }
}

/// Returns the number in a float or double cell.
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

/// Returns the label in a text, integer or boolean cell.
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
mod tests;
