//! Evaluation of regression.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, Merge,
    error_quantiles::{ErrorQuantiles, Quantile},
    groups::Groups,
    measure::{Absent, Measure},
    moments::Moments,
    paired::Judged,
};

/// Names of [`Judged::losses`].
pub const LOSSES: [&str; 2] = ["mae", "mse"];
/// Quantiles that are reported.
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// One version's partial result; an error is prediction minus truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    detail: Detail,
    groups: Groups<Group>,
    errors: ErrorQuantiles,
    absolute_errors: ErrorQuantiles,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    error: Moments,
    absolute: Moments,
    squared: Moments,
    /// |error / truth| of rows whose truth is not zero.
    relative: Moments,
    truth: Moments,
}

impl Merge for Group {
    fn merge(&mut self, other: &Self) {
        self.error.merge(&other.error);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.relative.merge(&other.relative);
        self.truth.merge(&other.truth);
    }
}

impl Group {
    /// Returns 1 - sum of squared errors / sum of squared deviations of the truth from its mean.
    fn r2(&self) -> Result<f64, Absent> {
        match (self.truth.n, self.truth.m2 > 0.0) {
            (0, _) => Err(Absent::NoRows),
            (_, false) => Err(Absent::ConstantLabels),
            (_, true) => Ok(1.0 - self.squared.sum() / self.truth.m2),
        }
    }
}

impl Regression {
    pub fn new(detail: Detail) -> Self {
        Self {
            detail,
            groups: Groups::default(),
            errors: ErrorQuantiles::default(),
            absolute_errors: ErrorQuantiles::default(),
        }
    }

    /// Adds a row; both values must be finite.
    pub fn add(&mut self, group: u8, truth: f64, predicted: f64) -> Judged {
        let error = predicted - truth;
        let held = self.groups.entry(self.detail.group(group));
        held.error.add(error);
        held.absolute.add(error.abs());
        held.squared.add(error * error);
        held.truth.add(truth);
        if truth != 0.0 {
            held.relative.add((error / truth).abs());
        }
        self.errors.add(error);
        self.absolute_errors.add(error.abs());
        Judged {
            losses: [Some(error.abs()), Some(error * error)],
            right: None,
        }
    }

    /// Returns the number of labelled rows.
    pub fn rows(&self) -> u64 {
        self.groups.total().truth.n
    }

    /// Returns the number of rows that the mean absolute percentage error excludes.
    pub fn zeros(&self) -> u64 {
        let total = self.groups.total();
        total.truth.n - total.relative.n
    }

    /// Returns quantiles of the error and of its magnitude, by name.
    pub fn quantiles(&self, confidence: f64) -> BTreeMap<String, Quantile> {
        let kinds = [
            ("error", &self.errors),
            ("absolute_error", &self.absolute_errors),
        ];
        let one = |kind: &str, errors: &ErrorQuantiles, q: f64| {
            let name = format!("{kind}_p{:02}", (q * 100.0).round() as u32);
            Some((name, errors.at(q, confidence)?))
        };
        kinds
            .into_iter()
            .flat_map(|(kind, errors)| {
                QUANTILES
                    .into_iter()
                    .filter_map(move |q| one(kind, errors, q))
            })
            .collect()
    }

    /// Returns (share of rows, error that they do not exceed), with a relative error of at most 1
    /// %, at `steps` + 1 shares from 0 to 1.
    pub fn error_curve(&self, steps: u32) -> Vec<(f64, f64)> {
        self.errors.curve(steps)
    }

    /// Returns (from, to, share of rows) of bars over all errors but the outer 1 %.
    pub fn error_histogram(&self) -> Vec<(f64, f64, f64)> {
        self.errors.histogram()
    }

    /// Returns every metric by name.
    pub fn measures(&self) -> BTreeMap<String, Measure> {
        let total = self.groups.total();
        let left_out = self.groups.leave_one_out();
        let mean = |moments: &Moments| moments.mean().ok_or(Absent::NoRows);
        let (positive, any) = ((0.0, f64::INFINITY), (f64::NEG_INFINITY, f64::INFINITY));
        let exact = |range, metric: &dyn Fn(&Group) -> Result<f64, Absent>| {
            Measure::exact(&total, &left_out, range, metric)
        };
        let relative = |group: &Group| {
            mean(&group.relative).map_err(|absent| match group.truth.n {
                0 => absent,
                _ => Absent::OnlyZeros,
            })
        };
        [
            ("mae", exact(positive, &|group| mean(&group.absolute))),
            ("mse", exact(positive, &|group| mean(&group.squared))),
            (
                "rmse",
                exact(positive, &|group| Ok(mean(&group.squared)?.sqrt())),
            ),
            ("r2", exact((f64::NEG_INFINITY, 1.0), &Group::r2)),
            ("mape", exact(positive, &relative)),
            ("mean_error", exact(any, &|group| mean(&group.error))),
        ]
        .map(|(name, measure)| (name.to_owned(), measure))
        .into()
    }
}

impl Merge for Regression {
    fn merge(&mut self, other: &Self) {
        self.groups.merge(&other.groups);
        self.errors.merge(&other.errors);
        self.absolute_errors.merge(&other.absolute_errors);
    }
}
