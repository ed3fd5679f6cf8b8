//! A metric with its estimate, how far it may be off, or why it can't be had.

use std::collections::BTreeMap;

use super::jackknife::{self, Spread};

/// A metric of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The estimate, or why there is none.
    pub value: Result<f64, Absent>,
    /// Largest error that binning can have made; `None`: the value is exact.
    pub bound: Option<f64>,
    /// The estimate without each group, for intervals of it and of differences.
    pub left_out: BTreeMap<u8, f64>,
    /// What it can be at all.
    pub range: (f64, f64),
}

/// Why a metric can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// No row to look at.
    NoRows,
    /// All labels are of one class.
    OneClass,
    /// The scores are no probabilities.
    NotProbabilities,
    /// All labels have one value.
    ConstantLabels,
    /// Every label is zero.
    OnlyZeros,
    /// The metric would divide by zero: nothing was predicted, or nothing is positive.
    Undefined,
}

impl Absent {
    /// For people and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRows => "no labelled prediction",
            Self::OneClass => "all labels are of one class",
            Self::NotProbabilities => "the scores are no probabilities",
            Self::ConstantLabels => "all labels have one value",
            Self::OnlyZeros => "every label is zero",
            Self::Undefined => "nothing was predicted positive, or nothing is",
        }
    }
}

impl Measure {
    /// An exact metric of `total`, with its value in each of `left_out`.
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

    /// A metric that can't be had.
    pub fn absent(why: Absent) -> Self {
        Self {
            value: Err(why),
            bound: None,
            left_out: BTreeMap::new(),
            range: (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Its spread; `None` with too few groups.
    pub fn spread(&self) -> Option<Spread> {
        let left_out: Vec<f64> = self.left_out.values().copied().collect();
        self.value.ok()?;
        Spread::of(&left_out)
    }

    /// Its interval, within what it can be.
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let value = self.value.ok()?;
        let margin = self.spread()?.margin(confidence);
        let (least, most) = self.range;
        Some(((value - margin).max(least), (value + margin).min(most)))
    }

    /// This minus `baseline` on the same rows.
    pub fn minus(&self, baseline: &Self) -> Option<Difference> {
        Some(Difference {
            value: self.value.ok()? - baseline.value.ok()?,
            spread: jackknife::difference(&self.left_out, &baseline.left_out),
        })
    }
}

/// One version's metric minus another's on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Its spread; `None` with too few groups.
    pub spread: Option<Spread>,
}

impl Difference {
    /// Its interval.
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let margin = self.spread?.margin(confidence);
        Some((self.value - margin, self.value + margin))
    }

    /// Two-sided p of no difference.
    pub fn p_value(&self) -> Option<f64> {
        self.spread?.p_value(self.value)
    }
}
