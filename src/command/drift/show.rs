//! Drift as JSON and as text.

use serde_json::{Value, json};

use crate::{
    domain::evidence::drift::DriftVerdict,
    inspect::drift::{DriftReport, verdict},
    output::{self, Answer},
    store::evidence::drift::DriftRow,
};

/// Stable features that the text lists for each version and comparison; the rest is counted.
const STABLE: usize = 5;

/// Renders a report. `scanned`: the source rows that were read for it now.
pub fn answer(report: &DriftReport, scanned: Option<u64>, stored: bool) -> Answer {
    let result = json!({
        "job": report.job,
        "run": report.run_id,
        "scanned": scanned,
        "stored": stored,
        "drifted": report.drifted().count(),
        "features": report.rows.iter().map(as_json).collect::<Value>(),
    });
    Answer::new(result, text(report, scanned))
}

fn as_json(row: &DriftRow) -> Value {
    json!({
        "version": row.version,
        "feature": row.feature,
        "segment": Some(&row.segment).filter(|segment| !segment.is_empty()),
        "against": row.against,
        "verdict": row.verdict,
        "cause": row.cause,
        "threshold": row.threshold,
        "critical_value": row.critical_value,
        "p": row.p,
        "adjusted_p": row.adjusted_p,
        "psi": row.psi,
        "js": row.js,
        "w1": row.w1,
        "ks": row.ks,
        "linf": row.linf,
        "null_delta": row.null_delta,
        "nan_delta": row.nan_delta,
        "new_category_share": row.new_category_share,
        "n": row.n,
        "m": row.m,
        "other_run": row.other_run,
    })
}

fn text(report: &DriftReport, scanned: Option<u64>) -> String {
    let of = match scanned {
        Some(rows) => format!("scan {} of {rows} rows", report.run_id),
        None => format!("run {}", report.run_id),
    };
    let drifted = report.drifted().count();
    let mut text = format!(
        "{of} of job {}: {}\n",
        report.job,
        match drifted {
            0 => "no drift".to_owned(),
            drifted => format!("{drifted} of {} comparisons drifted", report.rows.len()),
        }
    );
    for version in report.versions() {
        for against in ["reference", "previous"] {
            let rows = || {
                let rows = report.rows.iter();
                rows.filter(move |row| row.version == version && row.against == against)
            };
            let is_calm = |row: &&DriftRow| verdict(row) == Some(DriftVerdict::Stable);
            let calm = rows().filter(is_calm).count();
            if rows().next().is_none() {
                continue;
            }
            let other = rows().find_map(|row| row.other_run);
            let named = match (against, other) {
                (_, Some(run_id)) => format!("{against}, run {run_id}"),
                _ => format!("{against}, the rows given with the version"),
            };
            text.push_str(&format!("\nversion {version} against the {named}\n\n"));
            let mut shown = rows().filter(|row| !is_calm(row)).collect::<Vec<_>>();
            shown.extend(rows().filter(is_calm).take(STABLE));
            let header = [
                "FEATURE", "VERDICT", "PSI", "CHANCE", "KS", "W1", "NULLS", "NEW", "N", "M", "P",
            ];
            text.push_str(&output::table(header, shown.iter().map(|row| cells(row))));
            text.push('\n');
            if calm > STABLE {
                text.push_str(&format!("and {} more that are stable\n", calm - STABLE));
            }
        }
    }
    text
}

fn cells(row: &DriftRow) -> [String; 11] {
    let name = match row.segment.as_str() {
        "" => row.feature.clone(),
        segment => format!("{} [{segment}]", row.feature),
    };
    let verdict = match row.cause.as_deref() {
        Some(cause) if cause != "shape" => format!("{} ({cause})", row.verdict),
        _ => row.verdict.clone(),
    };
    [
        name,
        verdict,
        number(row.psi),
        number(row.critical_value),
        number(row.ks),
        number(row.w1),
        share(row.null_delta),
        share(row.new_category_share),
        row.n.to_string(),
        row.m.to_string(),
        row.adjusted_p.map_or_else(dash, |p| format!("{p:.2e}")),
    ]
}

fn dash() -> String {
    "-".to_owned()
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.4}"))
}

fn share(value: Option<f64>) -> String {
    match value {
        None => dash(),
        Some(0.0) => "0".to_owned(),
        Some(value) => format!("{:+.1} %", value * 100.0),
    }
}
