//! Final results by version, ready to be stored and displayed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Precision,
    binary::{self, Binary},
    classes::{self, Classes},
    measure::Measure,
    moments::Moments,
    paired::{Paired, paired_t},
    partial::{OfVersion, Partial, Segments, Usable, Versions},
    regression::{self, Regression},
    target::{Target, class_names},
};
use crate::domain::evidence::segment;

/// Confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;
/// Maximum number of points of a curve.
pub const POINTS: usize = 200;

/// The result of one version.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OneResult {
    /// Rows evaluated: labelled, with a usable prediction by every version named.
    pub rows: u64,
    /// Its predictions of labelled rows by usability.
    pub predictions: Usable,
    /// Metric -> value.
    pub metrics: BTreeMap<String, f64>,
    /// Metric -> lower end of its interval.
    pub low: BTreeMap<String, f64>,
    /// Metric -> upper end of its interval.
    pub high: BTreeMap<String, f64>,
    /// `exact`: every labelled score was stored; `binned`: they were counted in bins. `None`: the
    /// task has no ranking metrics.
    pub scores: Option<&'static str>,
    /// Metric -> maximum error due to binning; no entry: it is exact.
    pub bounds: BTreeMap<String, f64>,
    /// Metric -> reason why it is not available.
    pub absent: BTreeMap<String, String>,
    /// Comparison with the first version named; `None` for that one.
    pub against: Option<Against>,
    /// Segment -> its summary.
    pub segments: BTreeMap<String, OneSegment>,
    /// Calibration, curves and decisions; the confusion matrix; or quantiles of the error.
    pub details: Value,
}

/// This version minus the first one, on the same rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Against {
    /// Metric -> difference.
    pub differences: BTreeMap<String, f64>,
    /// Metric -> its standard error.
    pub standard_errors: BTreeMap<String, f64>,
    /// Metric -> lower end of its interval.
    pub low: BTreeMap<String, f64>,
    /// Metric -> upper end of its interval.
    pub high: BTreeMap<String, f64>,
    /// Metric -> two-sided p of no difference, by the jackknife; `mcnemar` and `t_…` if every
    /// entity has one row.
    pub p_values: BTreeMap<String, f64>,
    /// Rows that only this version classified correctly.
    pub gained: u64,
    /// Rows that only the first version classified correctly.
    pub lost: u64,
}

/// Summary of one segment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OneSegment {
    /// Rows evaluated.
    pub rows: u64,
    /// Metric -> value.
    pub metrics: BTreeMap<String, f64>,
    /// Metric -> lower end of its interval.
    pub low: BTreeMap<String, f64>,
    /// Metric -> upper end of its interval.
    pub high: BTreeMap<String, f64>,
    /// Metric -> maximum error due to binning; no entry: it is exact.
    pub bounds: BTreeMap<String, f64>,
    /// Metric -> difference to the first version.
    pub differences: BTreeMap<String, f64>,
    /// Metric -> standard error of the difference.
    pub standard_errors: BTreeMap<String, f64>,
}

/// Returns the main metric.
pub fn headline(partial: &Partial) -> &'static str {
    match partial.all.versions.first() {
        Some(OfVersion::Classes(_)) => "accuracy",
        Some(OfVersion::Regression(_)) => "rmse",
        _ => "roc_auc",
    }
}

/// Whether higher or lower values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

impl Better {
    /// Returns the direction of a metric by name; `None` if neither is better, because the metric
    /// has a sign (`mean_error`) or is a setting (`best_threshold`).
    pub fn for_metric(metric: &str) -> Option<Self> {
        match metric.split('@').next().unwrap_or(metric) {
            "mean_error" | "best_threshold" => None,
            "log_loss" | "brier" | "calibration_error" | "mae" | "mse" | "rmse" | "mape" => {
                Some(Self::Lower)
            }
            _ => Some(Self::Higher),
        }
    }

    /// Returns a difference as an improvement: positive if it is better.
    pub fn improvement(self, difference: f64) -> f64 {
        match self {
            Self::Higher => difference,
            Self::Lower => -difference,
        }
    }
}

/// Returns a result for each version, in the order in which they were named. `independent`: every
/// entity has one row, so tests of rows are valid.
pub fn results(partial: &Partial, target: &Target, independent: bool) -> Vec<OneResult> {
    let measures = |versions: &Versions| -> Vec<BTreeMap<String, Measure>> {
        versions.versions.iter().map(OfVersion::measures).collect()
    };
    let all = measures(&partial.all);
    let segments: BTreeMap<String, (u64, Vec<_>)> = match &partial.segments {
        Segments::TooMany => BTreeMap::new(),
        Segments::Few(segments) => segments
            .iter()
            .map(|(value, versions)| {
                let name = segment::name(value.as_deref());
                (name, (versions.rows, measures(versions)))
            })
            .collect(),
    };
    (0..all.len())
        .map(|at| OneResult {
            rows: partial.all.rows,
            predictions: partial.usable[at],
            absent: all[at]
                .iter()
                .filter_map(|(name, measure)| {
                    Some((name.clone(), measure.value.err()?.as_str().to_owned()))
                })
                .collect(),
            scores: match &partial.all.versions[at] {
                OfVersion::Binary(own) => Some(kept(own)),
                OfVersion::Classes(_) | OfVersion::Regression(_) => None,
            },
            bounds: collect_values(&all[at], |measure| measure.value.ok().and(measure.bound)),
            metrics: collect_values(&all[at], |measure| measure.value.ok()),
            low: collect_values(&all[at], |measure| Some(measure.interval(CONFIDENCE)?.0)),
            high: collect_values(&all[at], |measure| Some(measure.interval(CONFIDENCE)?.1)),
            against: (at > 0).then(|| {
                let losses = losses(&partial.all.versions[at]);
                let paired = &partial.all.paired[at - 1];
                against(&all[at], &all[0], paired, losses, independent)
            }),
            segments: segments
                .iter()
                .map(|(name, (rows, measures))| {
                    let (own, first) = (&measures[at], &measures[0]);
                    let against = match at {
                        0 => Against::default(),
                        _ => differences(own, first),
                    };
                    let segment = OneSegment {
                        rows: *rows,
                        metrics: collect_values(own, |measure| measure.value.ok()),
                        low: collect_values(own, |measure| Some(measure.interval(CONFIDENCE)?.0)),
                        high: collect_values(own, |measure| Some(measure.interval(CONFIDENCE)?.1)),
                        bounds: collect_values(own, |measure| {
                            measure.value.ok().and(measure.bound)
                        }),
                        differences: against.differences,
                        standard_errors: against.standard_errors,
                    };
                    (name.clone(), segment)
                })
                .collect(),
            details: match &partial.all.versions[at] {
                OfVersion::Binary(own) => binary_details(own),
                OfVersion::Classes(own) => class_details(own, &class_names(target)),
                OfVersion::Regression(own) => regression_details(own),
            },
        })
        .collect()
}

fn collect_values(
    measures: &BTreeMap<String, Measure>,
    value: impl Fn(&Measure) -> Option<f64>,
) -> BTreeMap<String, f64> {
    let values = measures.iter();
    values
        .filter_map(|(name, measure)| Some((name.clone(), value(measure)?)))
        .collect()
}

fn losses(version: &OfVersion) -> [&'static str; 2] {
    match version {
        OfVersion::Binary(_) => binary::LOSSES,
        OfVersion::Classes(_) => classes::LOSSES,
        OfVersion::Regression(_) => regression::LOSSES,
    }
}

fn differences(own: &BTreeMap<String, Measure>, first: &BTreeMap<String, Measure>) -> Against {
    let mut against = Against::default();
    for (name, measure) in own {
        let baseline = first.get(name);
        let Some(difference) = baseline.and_then(|baseline| measure.minus(baseline)) else {
            continue;
        };
        let put = |map: &mut BTreeMap<String, f64>, value: Option<f64>| {
            value.map(|value| map.insert(name.clone(), value));
        };
        let spread = difference.spread;
        let interval = difference.interval(CONFIDENCE);
        put(&mut against.differences, Some(difference.value));
        put(
            &mut against.standard_errors,
            spread.map(|spread| spread.standard_error),
        );
        put(&mut against.low, interval.map(|(low, _)| low));
        put(&mut against.high, interval.map(|(_, high)| high));
        put(&mut against.p_values, difference.p_value());
    }
    against
}

fn against(
    own: &BTreeMap<String, Measure>,
    first: &BTreeMap<String, Measure>,
    paired: &Paired,
    losses: [&'static str; 2],
    independent: bool,
) -> Against {
    let mut against = differences(own, first);
    against.gained = paired.discordant.gained;
    against.lost = paired.discordant.lost;
    if independent {
        let p_values = &mut against.p_values;
        if paired.discordant.gained + paired.discordant.lost > 0 {
            p_values.insert("mcnemar".to_owned(), paired.discordant.mid_p());
        }
        let pairs = losses.iter().zip(&paired.losses);
        for (name, moments) in pairs.filter(|(name, _): &(_, &Moments)| !name.is_empty()) {
            paired_t(moments).map(|p| p_values.insert(format!("t_{name}"), p));
        }
    }
    against
}

fn kept(own: &Binary) -> &'static str {
    match own.ranking().is_exact() {
        true => "exact",
        false => "binned",
    }
}

fn binary_details(own: &Binary) -> Value {
    let decisions = own.confusions().into_iter().map(|(threshold, decided)| {
        json!({
            "threshold": own.shown(threshold),
            "true_positive": decided.true_positive, "false_positive": decided.false_positive,
            "false_negative": decided.false_negative, "true_negative": decided.true_negative,
        })
    });
    let rows = own.rows();
    json!({
        "scores": kept(own),
        "negative": rows.negative,
        "positive": rows.positive,
        "decisions": decisions.collect::<Value>(),
        "calibration": own.calibration().reliability(),
        "curve": own.curve(POINTS).into_iter().map(|point| json!({
            "threshold": point.threshold,
            "true_positive": point.rows.positive,
            "false_positive": point.rows.negative,
        })).collect::<Value>(),
    })
}

fn class_details(own: &Classes, names: &[String]) -> Value {
    let name = |class: u16| names.get(usize::from(class));
    let cells = own.confusion().iter();
    json!({
        "classes": names,
        "confusion": cells.map(|((truth, said), rows)| json!({
            "truth": name(*truth), "predicted": name(*said), "rows": rows,
        })).collect::<Value>(),
    })
}

fn regression_details(own: &Regression) -> Value {
    let quantiles = own
        .quantiles(CONFIDENCE)
        .into_iter()
        .map(|(name, quantile)| {
            let told = json!({"value": quantile.value, "low": quantile.low, "high": quantile.high});
            (name, told)
        });
    json!({
        "zeros": own.zeros(),
        "quantiles": Value::Object(quantiles.collect()),
    })
}

/// Returns a number as people write it: 0.7, not the float's 0.699999988.
pub fn shown(precision: Precision, value: f64) -> String {
    match precision {
        Precision::Single => (value as f32).to_string(),
        Precision::Double => value.to_string(),
    }
}
