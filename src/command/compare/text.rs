//! A comparison as text, one screen long.

use super::json::{statement, target};
use crate::{
    domain::{
        evidence::{
            comparison::{difference::Limits, pair::Pair},
            segment,
        },
        rounding::{fixed, percent},
    },
    inspect::compare::{Against, QUANTILES, Report},
    output,
};

/// Maximum number of label changes shown.
const MAX_CHANGES: usize = 12;

/// Renders the comparison as text.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "job {}, revision {}: {} against {} source rows\n\n{}",
        report.scope.job.job,
        report.scope.revision,
        target(report),
        report.found.source_rows,
        versions(report),
    );
    let pairs = report.against().zip(&report.settings.limits);
    for ((version, against), limits) in pairs {
        text.push_str(&format!(
            "\n\nversion {} against version {}\n",
            named(report, version),
            named(report, report.baseline())
        ));
        text.push_str(&pair(report, &against.all, *limits));
        text.push_str(&segments(report, against));
        text.push_str(&most(report, against));
    }
    text
}

fn named(report: &Report, version: i32) -> String {
    match report.scope.aliases_of(version).as_slice() {
        [] => version.to_string(),
        aliases => format!("{version} ({})", aliases.join(", ")),
    }
}

fn versions(report: &Report) -> String {
    let standings = report
        .scope
        .versions
        .iter()
        .zip(&report.found.part.standings);
    let rows = standings.map(|(version, standing)| {
        let orphaned = report.found.orphaned.get(version).copied().unwrap_or(0);
        [
            named(report, *version),
            standing.current.to_string(),
            standing.stale.to_string(),
            standing.rejected.to_string(),
            standing.missing.to_string(),
            orphaned.to_string(),
        ]
    });
    let header = [
        "VERSION", "CURRENT", "STALE", "REJECTED", "MISSING", "ORPHANED",
    ];
    output::table(header, rows)
}

fn pair(report: &Report, pair: &Pair, limits: Limits) -> String {
    let rows = &pair.rows;
    let mut text = format!(
        "  {} rows compared; left out: {} stale, {} missing, {} rejected\n",
        rows.compared, rows.stale, rows.missing, rows.rejected
    );
    if let (Some(label), Some(agreement)) = (report.label(), pair.agreement()) {
        text.push_str(&format!(
            "  {label}: {} of {} agree ({} %)\n",
            pair.agreeing,
            pair.labelled,
            percent(agreement)
        ));
        text.push_str(&changes(pair));
    }
    let differences = &pair.differences;
    if let (Some(absolute), Some(largest)) = (differences.mean_absolute(), differences.largest()) {
        let columns = match report.score() {
            Some(column) => column.to_owned(),
            None => format!(
                "largest difference of {}",
                report.score_columns().join(", ")
            ),
        };
        text.push_str(&format!(
            "  {columns}: mean difference {:+.6}, mean absolute {absolute:.6}, largest {largest:.6}\n",
            differences.mean
        ));
        let quantiles = QUANTILES.into_iter().filter_map(|(name, q)| {
            let value = differences.quantile(q)?;
            Some(format!("{name} {value:+.4}"))
        });
        let quantiles: Vec<_> = quantiles.collect();
        text.push_str(&format!("    {}\n", quantiles.join("  ")));
        text.push_str(&format!(
            "    {:+} {} {:+}\n",
            limits.from,
            bars(&differences.bars),
            limits.to
        ));
    }
    if let Some(correlation) = pair.joint.correlation() {
        text.push_str(&format!(
            "  rank correlation {}, within {}\n",
            fixed(correlation.value, 4),
            fixed(correlation.error, 4)
        ));
    }
    text
}

fn changes(pair: &Pair) -> String {
    let mut changes: Vec<_> = pair.changes.iter().collect();
    changes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let shown = changes.iter().take(MAX_CHANGES);
    let mut text: String = shown
        .map(|((from, to), rows)| format!("    {from} -> {to}: {rows}\n"))
        .collect();
    let rest: u64 = changes
        .iter()
        .skip(MAX_CHANGES)
        .map(|(_, rows)| **rows)
        .sum();
    if rest + pair.other_changes > 0 {
        text.push_str(&format!("    others: {}\n", rest + pair.other_changes));
    }
    text
}

/// Renders counts as characters of eight heights, on a logarithmic scale so that small counts show.
fn bars(counts: &[u64]) -> String {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let max = counts.iter().copied().max().unwrap_or(0).max(1);
    let height = |count: &u64| {
        let share = (*count as f64 + 1.0).ln() / (max as f64 + 1.0).ln();
        HEIGHTS[(share * 8.0).ceil() as usize]
    };
    format!("[{}]", counts.iter().map(height).collect::<String>())
}

fn segments(report: &Report, against: &Against) -> String {
    let Some(segment) = &report.scope.segment else {
        return String::new();
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| fixed(value, 4));
    let rows = against.segments.iter().map(|(name, pair)| {
        let differences = &pair.differences;
        let correlation = pair.joint.correlation();
        [
            segment::name(name.as_deref()),
            pair.rows.compared.to_string(),
            (pair.rows.stale + pair.rows.missing + pair.rows.rejected).to_string(),
            number(pair.agreement()),
            number((differences.count > 0).then_some(differences.mean)),
            number(differences.mean_absolute()),
            correlation.map_or("-".to_owned(), |correlation| {
                let (value, error) = (correlation.value, correlation.error);
                format!("{} ±{}", fixed(value, 3), fixed(error, 3))
            }),
        ]
    });
    let header = [
        "SEGMENT",
        "COMPARED",
        "LEFT OUT",
        "AGREEMENT",
        "MEAN DIFF",
        "MEAN |DIFF|",
        "RANK CORR",
    ];
    let table = output::table(header, rows);
    format!("\n  by {}\n\n{table}\n", segment.column.name)
}

fn most(report: &Report, against: &Against) -> String {
    let most = against.most.sorted();
    if most.is_empty() {
        return String::new();
    }
    let rows = most.into_iter().map(|entity| {
        let side = |at: usize| {
            let label = entity.labels[at].clone();
            let score = entity.scores[at].map(|score| format!("{score:.4}"));
            let both: Vec<_> = label.into_iter().chain(score).collect();
            both.join(" ")
        };
        [
            format!("{:.4}", entity.distance),
            side(0),
            side(1),
            statement(report, entity),
        ]
    });
    let table = output::table(["DIFFERENCE", "BASELINE", "VERSION", "CQL"], rows);
    format!("\n  largest differences\n\n{table}\n")
}
