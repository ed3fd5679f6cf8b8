//! A verification as JSON.

use serde_json::{Value, json};

use super::{aliases_of, target, versions};
use crate::inspect::verify::{Absent, CurrentReport, Report, VerifySpec};

/// Renders the `result` of the JSON object.
pub fn render(report: &Report, wish: &VerifySpec) -> Value {
    let found = versions(report, &report.tally.versions).map(|(version, sha256, tally)| {
        let found = json!({
            "aliases": aliases_of(report, version),
            "model_sha256": hex::encode(sha256),
            "seen": tally.seen(),
            "matching": tally.matching,
            "stale": tally.stale,
            "differing": tally.differing,
            "rejected": tally.rejected,
            "no_longer_rejected": tally.no_longer_rejected,
        });
        (version.to_string(), found)
    });
    let absent = |list: &[Absent]| -> Value {
        let rows = list.iter();
        rows.map(|row| json!({"key": row.key, "version": row.version}))
            .collect()
    };
    let coverage = report.coverage.as_ref().map(|coverage| {
        let counts = versions(report, &coverage.versions).map(|(version, _, tally)| {
            let counts = json!({"missing": tally.missing, "orphaned": tally.orphaned});
            (version.to_string(), counts)
        });
        json!({
            "source_rows": coverage.source_rows,
            "versions": Value::Object(counts.collect()),
            "missing": absent(&coverage.missing),
            "orphaned": absent(&coverage.orphaned),
            "current": report.current.as_ref().map(current_json),
        })
    });
    let differences = report.tally.differences.iter().map(|difference| {
        json!({
            "key": difference.key,
            "version": difference.version,
            "column": difference.column,
            "stored": difference.stored,
            "recomputed": difference.recomputed,
        })
    });
    json!({
        "job": wish.job,
        "revision": report.revision,
        "target": target(report),
        "sample": wish.sample,
        "source_rows": report.tally.source_rows,
        "versions": Value::Object(found.collect()),
        "differences": differences.collect::<Value>(),
        "coverage": coverage,
    })
}

fn current_json(current: &CurrentReport) -> Value {
    let tally = &current.tally;
    let findings = tally.findings.iter().map(|found| {
        json!({
            "key": found.key,
            "finding": found.fault.as_str(),
            "version": found.version,
        })
    });
    json!({
        "table": current.table.to_string(),
        "version": current.version,
        "rows": tally.rows,
        "other_version": tally.other_version,
        "differing": tally.differing,
        "extra": tally.extra,
        "missing": tally.missing,
        "findings": findings.collect::<Value>(),
    })
}
