//! A verification as text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{aliases_of, target, versions};
use crate::{
    inspect::verify::{Absent, CurrentReport, Report, VerifySpec},
    output,
};

/// Renders the report.
pub fn render(report: &Report, wish: &VerifySpec) -> String {
    let which = match wish.sample {
        None => "all".to_owned(),
        Some(rows) => format!("a sample of about {rows}"),
    };
    let mut text = format!(
        "job {}, revision {}: {} against {} source rows ({which})\n\n",
        wish.job,
        report.revision,
        target(report),
        report.tally.source_rows,
    );
    let rows = versions(report, &report.tally.versions).map(|(version, _, tally)| {
        let rejected = match tally.no_longer_rejected {
            0 => tally.rejected.to_string(),
            no_longer => format!("{} (and {no_longer} no longer)", tally.rejected),
        };
        let aliases = aliases_of(report, version);
        [
            match aliases.as_slice() {
                [] => version.to_string(),
                aliases => format!("{version} ({})", aliases.join(", ")),
            },
            tally.seen().to_string(),
            tally.matching.to_string(),
            tally.stale.to_string(),
            tally.differing.to_string(),
            rejected,
        ]
    });
    let header = [
        "VERSION",
        "SEEN",
        "MATCHING",
        "STALE",
        "DIFFERING",
        "REJECTED",
    ];
    text.push_str(&output::table(header, rows));
    if let Some(coverage) = &report.coverage {
        text.push_str(&format!(
            "\n\ncoverage of all {} source rows\n\n",
            coverage.source_rows
        ));
        let rows = versions(report, &coverage.versions).map(|(version, _, tally)| {
            [
                version.to_string(),
                tally.missing.to_string(),
                tally.orphaned.to_string(),
            ]
        });
        text.push_str(&output::table(["VERSION", "MISSING", "ORPHANED"], rows));
        list(&mut text, report, "without a prediction", &coverage.missing);
        list(
            &mut text,
            report,
            "without a source row",
            &coverage.orphaned,
        );
    }
    if let Some(current) = &report.current {
        current_text(&mut text, report, current);
    }
    if !report.tally.differences.is_empty() {
        text.push_str("\n\nfirst differences\n\n");
        let rows = report.tally.differences.iter().map(|difference| {
            [
                key(report, &difference.key),
                difference.version.to_string(),
                difference.column.clone(),
                plain(&difference.stored),
                plain(&difference.recomputed),
            ]
        });
        let header = ["KEY", "VERSION", "COLUMN", "STORED", "RECOMPUTED"];
        text.push_str(&output::table(header, rows));
    }
    text
}

fn current_text(text: &mut String, report: &Report, current: &CurrentReport) {
    let tally = &current.tally;
    text.push_str(&format!(
        "\n\n{}, which should hold version {}\n\n",
        current.table, current.version
    ));
    let counts = [
        tally.rows,
        tally.other_version,
        tally.differing,
        tally.extra,
        tally.missing,
    ];
    let header = ["ROWS", "OTHER VERSION", "DIFFERING", "EXTRA", "MISSING"];
    text.push_str(&output::table(
        header,
        [counts.map(|rows| rows.to_string())],
    ));
    if tally.findings.is_empty() {
        return;
    }
    text.push_str("\n\nfirst findings\n\n");
    let rows = tally.findings.iter().map(|found| {
        [
            key(report, &found.key),
            found
                .version
                .map_or_else(String::new, |version| version.to_string()),
            found.fault.as_str().to_owned(),
        ]
    });
    text.push_str(&output::table(["KEY", "VERSION", "FINDING"], rows));
}

fn list(text: &mut String, report: &Report, title: &str, rows: &[Absent]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n\nfirst rows {title}\n\n"));
    let rows = rows
        .iter()
        .map(|row| [key(report, &row.key), row.version.to_string()]);
    text.push_str(&output::table(["KEY", "VERSION"], rows));
}

/// Renders a key with its columns in the order of the primary key.
fn key(report: &Report, key: &BTreeMap<String, String>) -> String {
    let value = |name| key.get(name).map_or("", String::as_str);
    let columns = report.job.key.iter().map(|column| &column.name);
    let columns: Vec<_> = columns
        .map(|name| format!("{name}={}", value(name)))
        .collect();
    columns.join(" ")
}

/// Renders a value, texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
