//! Converts a comparison into rows of `comparisons`.

use std::collections::BTreeMap;

use super::Report;
use crate::{
    domain::evidence::{comparison::pair::Pair, segment},
    store::evidence::comparisons::Comparison,
};

/// Quantiles of the difference that are reported, with their names.
pub const QUANTILES: [(&str, f64); 7] = [
    ("p01", 0.01),
    ("p05", 0.05),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p95", 0.95),
    ("p99", 0.99),
];

/// Returns one row per version that was compared with the baseline.
pub fn rows(report: &Report) -> Vec<Comparison> {
    let model = report.scope.job.versions.first();
    let model = model.map_or("", |version| version.ready.model.as_str());
    let row = |(at, (version, against)): (usize, (i32, &super::Against))| {
        let all = &against.all;
        let correlation = all.joint.correlation();
        let differences = &all.differences;
        let changes = all.changes.iter();
        let bars = report.settings.limits[at]
            .lower_ends()
            .zip(&differences.bars);
        let quantile = |(name, q): (&str, f64)| {
            let value = differences.quantile(q)?;
            Some((name.to_owned(), value))
        };
        let segments = against
            .segments
            .iter()
            .map(|(name, pair)| (segment::name(name.as_deref()), headlines(pair)));
        Comparison {
            job: report.scope.job.job.clone(),
            comparison_id: report.id,
            version,
            baseline: report.baseline(),
            job_revision: report.scope.revision,
            model: model.to_owned(),
            aliases: report.scope.aliases.clone(),
            requested_by: report.requested_by.clone(),
            begun_at: report.begun_at,
            finished_at: report.finished_at,
            source_rows: report.found.source_rows,
            compared: all.rows.compared,
            stale: all.rows.stale,
            missing: all.rows.missing,
            rejected: all.rows.rejected,
            orphaned: report.found.orphaned.clone(),
            agreement: all.agreement(),
            score: report.score().map(str::to_owned),
            mean_difference: (differences.count > 0).then_some(differences.mean),
            mean_absolute_difference: differences.mean_absolute(),
            largest_difference: differences.largest(),
            rank_correlation: correlation.map(|correlation| correlation.value),
            rank_correlation_error: correlation.map(|correlation| correlation.error),
            label_changes: changes
                .map(|((a, b), rows)| (format!("{a} -> {b}"), *rows))
                .chain((all.other_changes > 0).then(|| ("(others)".to_owned(), all.other_changes)))
                .collect(),
            difference_quantiles: QUANTILES.into_iter().filter_map(quantile).collect(),
            difference_histogram: bars.map(|(end, rows)| (end, *rows)).collect(),
            segment: report
                .scope
                .segment
                .as_ref()
                .map(|segment| segment.column.name.clone()),
            segments: segments.collect(),
            warnings: report.warnings.clone(),
        }
    };
    report.against().enumerate().map(row).collect()
}

/// Returns the figures of a segment; undefined ones are left out.
fn headlines(pair: &Pair) -> BTreeMap<String, f64> {
    let correlation = pair.joint.correlation();
    let differences = &pair.differences;
    let told = [
        ("compared", Some(pair.rows.compared as f64)),
        ("stale", Some(pair.rows.stale as f64)),
        ("missing", Some(pair.rows.missing as f64)),
        ("rejected", Some(pair.rows.rejected as f64)),
        ("agreement", pair.agreement()),
        (
            "mean_difference",
            (differences.count > 0).then_some(differences.mean),
        ),
        ("mean_absolute_difference", differences.mean_absolute()),
        (
            "rank_correlation",
            correlation.map(|correlation| correlation.value),
        ),
        (
            "rank_correlation_error",
            correlation.map(|correlation| correlation.error),
        ),
    ];
    told.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
