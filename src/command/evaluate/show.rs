//! An evaluation as JSON and as text.

use serde_json::{Value, json};

use crate::{
    codec::utc,
    domain::{
        evidence::evaluation::{report::OneResult, room::MEMORY_BYTES},
        rounding::fixed,
    },
    inspect::evaluate::{EvaluateSpec, Evaluated, task},
    output,
};

/// Renders the `result` of the JSON object.
pub fn as_json(evaluated: &Evaluated, wish: &EvaluateSpec) -> Value {
    let scope = &evaluated.scope;
    let part = &evaluated.found.part;
    let (task, positive) = task(&evaluated.target.meaning);
    let versions = scope.versions.iter().zip(&evaluated.results);
    let versions = versions.enumerate().map(|(at, (version, result))| {
        let mut object = json!(result);
        let orphaned = evaluated.found.orphaned.get(version).copied();
        object["predictions"]["orphaned"] = json!(orphaned.unwrap_or(0));
        object["version"] = json!(version);
        object["aliases"] = json!(scope.aliases_of(*version));
        object["baseline"] = json!((at > 0).then(|| scope.versions[0]));
        object
    });
    json!({
        "evaluation": evaluated.id,
        "evaluated_at": utc::to_millisecond(evaluated.at),
        "job": scope.job.job,
        "revision": scope.revision,
        "task": task,
        "positive": positive,
        "labels": format!("{}.{}", wish.labels.table, wish.labels.column),
        "leakage": evaluated.leakage.as_str(),
        "stored": evaluated.stored,
        "source_rows": evaluated.found.source_rows,
        "labelled": part.labelled,
        "evaluated": part.all.rows,
        "untimed": part.untimed,
        "stray_labels": evaluated.found.stray_labels,
        "headline": evaluated.headline,
        "versions": versions.collect::<Value>(),
    })
}

/// Renders the evaluation as text.
pub fn text(evaluated: &Evaluated, wish: &EvaluateSpec) -> String {
    let scope = &evaluated.scope;
    let part = &evaluated.found.part;
    let (task, positive) = task(&evaluated.target.meaning);
    let positive = positive.map_or_else(String::new, |class| format!(", positive `{class}`"));
    let mut text = format!(
        "evaluation {} of job {}, revision {} ({task}{positive})\n{} of {} source rows have a label in {}.{}; {} count\n\n",
        evaluated.id,
        scope.job.job,
        scope.revision,
        part.labelled,
        evaluated.found.source_rows,
        wish.labels.table,
        wish.labels.column,
        part.all.rows,
    );
    let header = [
        "VERSION",
        "USABLE",
        "MISSING",
        "REJECTED",
        "STALE",
        "LEAKED",
        "IMMATURE",
        "NO NUMBER",
    ];
    let rows = scope.versions.iter().zip(&evaluated.results);
    let rows = rows.map(|(version, result)| {
        let predictions = &result.predictions;
        let counts = [
            predictions.usable,
            predictions.missing,
            predictions.rejected,
            predictions.stale,
            predictions.leaked,
            predictions.immature,
            predictions.not_a_number,
        ];
        let aliases = scope.aliases_of(*version);
        let name = match aliases.as_slice() {
            [] => version.to_string(),
            aliases => format!("{version} ({})", aliases.join(", ")),
        };
        let [a, b, c, d, e, f, g] = counts.map(|count| count.to_string());
        [name, a, b, c, d, e, f, g]
    });
    text.push_str(&output::table(header, rows));
    for (at, version) in scope.versions.iter().enumerate() {
        text.push_str(&format!("\n\nversion {version}"));
        if at > 0 {
            text.push_str(&format!(" against {}", scope.versions[0]));
        }
        text.push_str("\n\n");
        text.push_str(&metrics(&evaluated.results[at], at > 0));
        if let Some(scores) = evaluated.results[at].scores {
            text.push_str(&format!("\n\nscores: {}", scores_text(scores)));
        }
    }
    segments(&mut text, evaluated);
    text
}

/// Describes whether ranking metrics are computed from exact or binned scores.
pub fn scores_text(scores: &str) -> String {
    match scores {
        "exact" => "exact: each labelled score was kept".to_owned(),
        _ => format!(
            "binned: they need more than {} MiB, so ranking metrics come with the largest error that binning can cause",
            MEMORY_BYTES >> 20
        ),
    }
}

fn metrics(result: &OneResult, compared: bool) -> String {
    let names = result.metrics.keys().chain(result.absent.keys());
    let rows = names.map(|name| {
        let get = |map: &std::collections::BTreeMap<String, f64>| map.get(name).copied();
        let value = match get(&result.metrics) {
            Some(value) => number(value),
            None => format!("- ({})", result.absent[name]),
        };
        let bound = get(&result.bounds).filter(|bound| *bound > 0.0);
        let bound = bound.map_or_else(String::new, |bound| format!("{bound:.1e}"));
        let against = result.against.as_ref();
        let difference = against.and_then(|a| a.differences.get(name).copied());
        [
            name.clone(),
            value,
            interval(get(&result.low), get(&result.high)),
            bound,
            difference.map_or_else(String::new, |value| format!("{value:+.5}")),
            interval(
                against.and_then(|a| a.low.get(name).copied()),
                against.and_then(|a| a.high.get(name).copied()),
            ),
            against
                .and_then(|a| a.p_values.get(name).copied())
                .map_or_else(String::new, |p| format!("{p:.4}")),
        ]
    });
    let header = [
        "METRIC",
        "VALUE",
        "95 %",
        "BINNING",
        "DIFFERENCE",
        "95 %",
        "P",
    ];
    if compared {
        return output::table(header, rows);
    }
    let rows = rows.map(|[name, value, interval, bound, ..]| [name, value, interval, bound]);
    output::table(["METRIC", "VALUE", "95 %", "BINNING"], rows)
}

fn segments(text: &mut String, evaluated: &Evaluated) {
    let headline = evaluated.headline;
    let first = &evaluated.results[0].segments;
    if first.is_empty() {
        return;
    }
    text.push_str(&format!("\n\n{headline} by segment\n\n"));
    let versions = evaluated.scope.versions.iter().zip(&evaluated.results);
    let rows = versions.flat_map(|(version, result)| {
        result.segments.iter().map(move |(name, segment)| {
            let get = |map: &std::collections::BTreeMap<String, f64>| map.get(headline).copied();
            [
                name.clone(),
                version.to_string(),
                segment.rows.to_string(),
                get(&segment.metrics).map_or_else(|| "-".to_owned(), number),
                interval(get(&segment.low), get(&segment.high)),
            ]
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| a[0].cmp(&b[0]));
    text.push_str(&output::table(
        ["SEGMENT", "VERSION", "ROWS", "VALUE", "95 %"],
        rows,
    ));
}

fn number(value: f64) -> String {
    match value.abs() {
        small if small < 1_000.0 => fixed(value, 5),
        _ => format!("{value:.2}"),
    }
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match low.zip(high) {
        Some((low, high)) => format!("{} .. {}", number(low), number(high)),
        None => String::new(),
    }
}
