//! A metric with its estimate and error, or the reason why it is not available.

use std::collections::BTreeMap;

use super::jackknife::{self, Spread};

/// A metric of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The estimate, or the reason why there is none.
    pub value: Result<f64, Absent>,
    /// Maximum error due to binning; `None`: the value is exact.
    pub bound: Option<f64>,
    /// Estimates without each group, for intervals of it and of differences.
    pub left_out: BTreeMap<u8, f64>,
    /// Range of the metric.
    pub range: (f64, f64),
}

/// Reason why a metric is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// There are no rows.
    NoRows,
    /// All labels are of one class.
    OneClass,
    /// The scores are not probabilities.
    NotProbabilities,
    /// All labels have one value.
    ConstantLabels,
    /// Every label is zero.
    OnlyZeros,
    /// Division by zero: nothing was predicted positive, or nothing is positive.
    Undefined,
}

impl Absent {
    /// Returns the text for people and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRows => "no labelled prediction",
            Self::OneClass => "all labels are of one class",
            Self::NotProbabilities => "the scores are not probabilities",
            Self::ConstantLabels => "all labels have one value",
            Self::OnlyZeros => "every label is zero",
            Self::Undefined => "nothing was predicted positive, or nothing is",
        }
    }
}

impl Measure {
    /// Returns an exact metric of `total`, with its value in each of `left_out`.
    pub fn exact<T>(
        total: &T,
        left_out: &BTreeMap<u8, T>,
        range: (f64, f64),
        metric: impl Fn(&T) -> Result<f64, Absent>,
    ) -> Self {
        let left_out: Option<BTreeMap<u8, f64>> = left_out
            .iter()
            .map(|(group, rest)| Some((*group, metric(rest).ok()?)))
            .collect();
        Self {
            value: metric(total),
            bound: None,
            left_out: left_out.unwrap_or_default(),
            range,
        }
    }

    /// Returns a metric that is not available.
    pub fn absent(why: Absent) -> Self {
        Self {
            value: Err(why),
            bound: None,
            left_out: BTreeMap::new(),
            range: (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Returns its spread; `None` for too few groups.
    pub fn spread(&self) -> Option<Spread> {
        let left_out: Vec<f64> = self.left_out.values().copied().collect();
        self.value.ok()?;
        Spread::from_estimates(&left_out)
    }

    /// Returns its interval within its range, widened by the binning error.
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let value = self.value.ok()?;
        let margin = self.spread()?.margin(confidence)? + self.bound.unwrap_or(0.0);
        let (least, most) = self.range;
        Some(((value - margin).max(least), (value + margin).min(most)))
    }

    /// Returns this minus `baseline` on the same rows.
    pub fn minus(&self, baseline: &Self) -> Option<Difference> {
        Some(Difference {
            value: self.value.ok()? - baseline.value.ok()?,
            bound: self.bound.unwrap_or(0.0) + baseline.bound.unwrap_or(0.0),
            spread: jackknife::difference(&self.left_out, &baseline.left_out),
        })
    }
}

/// One version's metric minus another's on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    pub value: f64,
    /// Maximum error due to binning.
    pub bound: f64,
    /// Its spread; `None` for too few groups.
    pub spread: Option<Spread>,
}

impl Difference {
    /// Returns its interval, widened by the binning error.
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let margin = self.spread?.margin(confidence)? + self.bound;
        Some((self.value - margin, self.value + margin))
    }

    /// Returns the two-sided p of no difference, allowing for the binning error.
    pub fn p_value(&self) -> Option<f64> {
        self.spread?
            .p_value((self.value.abs() - self.bound).max(0.0))
    }
}
