//! A comparison as JSON.

use serde_json::{Value, json};

use crate::{
    codec::{literal::name, utc},
    domain::evidence::comparison::{
        difference::{BARS, Limits},
        most::Differing,
        pair::Pair,
    },
    inspect::compare::{QUANTILES, Report},
    output::number,
};

/// Renders the `result` of the JSON object.
pub fn render(report: &Report) -> Value {
    let standings = report
        .scope
        .versions
        .iter()
        .zip(&report.found.part.standings);
    let versions = standings.map(|(version, standing)| {
        let object = json!({
            "aliases": report.scope.aliases_of(*version),
            "current": standing.current,
            "stale": standing.stale,
            "rejected": standing.rejected,
            "missing": standing.missing,
            "orphaned": report.found.orphaned.get(version).copied().unwrap_or(0),
        });
        (version.to_string(), object)
    });
    let against = report.against().zip(&report.settings.limits);
    let against = against.map(|((version, against), limits)| {
        let mut object = pair(&against.all, Some(*limits));
        object["version"] = json!(version);
        let segments = against.segments.iter().map(|(name, of_segment)| {
            let mut object = pair(of_segment, None);
            object["segment"] = json!(name);
            object
        });
        object["segments"] = segments.collect();
        let most = against.most.sorted().into_iter();
        object["most_different"] = most.map(|entity| differing(report, entity)).collect();
        object
    });
    let segment = report.scope.segment.as_ref();
    json!({
        "job": report.scope.job.job,
        "revision": report.scope.revision,
        "target": target(report),
        "comparison_id": report.id,
        "baseline": report.baseline(),
        "label": report.label(),
        "score": report.score(),
        "score_columns": report.score_columns(),
        "segment": segment.map(|segment| &segment.column.name),
        "source_rows": report.found.source_rows,
        "versions": Value::Object(versions.collect()),
        "against": against.collect::<Value>(),
        "begun_at": utc::to_millisecond(report.begun_at),
        "finished_at": utc::to_millisecond(report.finished_at),
    })
}

/// Returns the name of the prediction table.
pub fn target(report: &Report) -> String {
    let target = &report.scope.job.target;
    format!("{}.{}", target.keyspace, target.table)
}

/// Returns a CQL statement that selects all predictions of an entity.
pub fn statement(report: &Report, entity: &Differing) -> String {
    let target = &report.scope.job.target;
    let (keyspace, table) = (name(&target.keyspace), name(&target.table));
    format!("SELECT * FROM {keyspace}.{table} WHERE {};", entity.key)
}

fn differing(report: &Report, entity: &Differing) -> Value {
    json!({
        "key": entity.key,
        "cql": statement(report, entity),
        "difference": entity.distance,
        "labels": entity.labels,
        "scores": entity.scores,
        "segment": entity.segment,
    })
}

fn pair(pair: &Pair, limits: Option<Limits>) -> Value {
    let changes = pair.changes.iter();
    let changes = changes.map(|((from, to), rows)| json!({"from": from, "to": to, "rows": rows}));
    let correlation = pair.joint.correlation();
    json!({
        "compared": pair.rows.compared,
        "stale": pair.rows.stale,
        "missing": pair.rows.missing,
        "rejected": pair.rows.rejected,
        "labelled": pair.labelled,
        "agreeing": pair.agreeing,
        "agreement": pair.agreement(),
        "label_changes": changes.collect::<Value>(),
        "other_changes": pair.other_changes,
        "unscored": pair.unscored,
        "differences": differences(pair, limits),
        "rank_correlation": correlation.map(|correlation| {
            json!({"value": correlation.value, "error": correlation.error})
        }),
    })
}

fn differences(pair: &Pair, limits: Option<Limits>) -> Value {
    let differences = &pair.differences;
    if differences.count == 0 {
        return Value::Null;
    }
    let quantiles = QUANTILES.into_iter().map(|(name, q)| {
        let value = differences.quantile(q);
        (name.to_owned(), json!(value))
    });
    let mut object = json!({
        "count": differences.count,
        "mean": differences.mean,
        "deviation": differences.deviation(),
        "mean_absolute": differences.mean_absolute(),
        "least": differences.least,
        "most": differences.most,
        "largest": differences.largest(),
        "quantiles": Value::Object(quantiles.collect()),
    });
    if let Some(limits) = limits {
        let ends: Vec<f64> = limits.lower_ends().collect();
        let bars = differences.bars.iter().enumerate().map(|(bar, rows)| {
            let to = if bar > BARS {
                f64::INFINITY
            } else {
                ends[bar + 1]
            };
            json!({"from": number(ends[bar]), "to": number(to), "rows": rows})
        });
        object["histogram"] = bars.collect();
    }
    object
}
