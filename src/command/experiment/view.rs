//! An experiment as text and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::{
    domain::evidence::experiment::units::Stage,
    inspect::experiment::state::ExperimentView,
    output,
    store::evidence::experiment_results::{StoredDifference, StoredLook},
};

pub fn as_json(state: &ExperimentView) -> Value {
    let (row, status) = (&state.row, state.status.as_ref());
    let arms = row.arms.iter().map(|(arm, version)| {
        let frozen = status.and_then(|status| status.arms.get(arm).copied());
        let described = json!({
            "version": frozen.map_or_else(|| json!(version), |frozen| json!(frozen)),
            "share": row.shares.get(arm),
        });
        (arm.clone(), described)
    });
    json!({
        "job": row.job,
        "name": row.name,
        "revision": row.revision,
        "state": state.state(),
        "reason": status.and_then(|status| status.reason.clone()),
        "arms": arms.collect::<serde_json::Map<_, _>>(),
        "control": row.control,
        "unit": row.unit,
        "traffic": row.traffic.unwrap_or(1.0),
        "metric": row.metric,
        "labels": row.labels,
        "covariate": row.covariate,
        "margin": row.margin,
        "alpha": row.alpha.unwrap_or(0.05),
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "started_at": status.and_then(|status| status.started_at),
        "ended_at": status.and_then(|status| status.ended_at),
        "look": state.looks.first().map(look_json),
    })
}

fn look_json(look: &StoredLook) -> Value {
    let tests = look.sample_ratio.iter().map(|(stage, test)| {
        let test = json!({"p": test.p, "sequential_p": test.sequential_p});
        (stage.as_str().to_owned(), test)
    });
    let counts = look.counts.iter();
    let counts = counts.map(|(stage, counts)| (stage.as_str().to_owned(), json!(counts)));
    json!({
        "id": look.look,
        "at": look.at,
        "final": look.is_final,
        "verdict": look.verdict.as_str(),
        "reason": look.reason,
        "verdicts": look.verdicts,
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "without_unit": look.without_unit,
        "outside": look.outside,
        "early": look.early,
        "leaked": look.leaked,
        "sample_ratio": tests.collect::<serde_json::Map<_, _>>(),
        "values": look.values,
        "standard_errors": look.standard_errors,
        "differences": differences(&look.differences),
        "adjusted": differences(&look.adjusted),
        "paired": differences(&look.paired),
        "warnings": look.warnings,
    })
}

fn differences(differences: &BTreeMap<String, StoredDifference>) -> Value {
    let differences = differences.iter().map(|(arm, one)| {
        let ends = |ends: Option<(f64, f64)>| ends.map(|(low, high)| json!([low, high]));
        let one = json!({
            "difference": one.difference,
            "interval": ends(one.interval),
            "fixed": ends(one.fixed),
        });
        (arm.clone(), one)
    });
    Value::Object(differences.collect())
}

pub fn text(state: &ExperimentView) -> String {
    let row = &state.row;
    let mut text = format!(
        "experiment `{}` of job `{}`, revision {}: {}\n",
        row.name,
        row.job,
        row.revision,
        state.state()
    );
    let reason = state
        .status
        .as_ref()
        .and_then(|status| status.reason.as_ref());
    if let Some(reason) = reason {
        let _ = writeln!(text, "  {reason}");
    }
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(
            || "-".to_owned(),
            |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
    };
    let started = state.status.as_ref().and_then(|status| status.started_at);
    let _ = writeln!(
        text,
        "  {} on {}, unit {}, from {} to {}",
        row.metric.as_deref().unwrap_or("-"),
        row.labels.as_deref().unwrap_or("-"),
        row.unit.as_deref().unwrap_or("key"),
        time(started.or(row.starts_at)),
        time(row.ends_at),
    );
    let newest = state.looks.first();
    let rows = row.arms.iter().map(|(arm, version)| {
        let frozen = state
            .status
            .as_ref()
            .and_then(|status| status.arms.get(arm));
        let count = |stage: Stage| {
            let count = newest.and_then(|look| look.counts.get(&stage)?.get(arm));
            count.map_or_else(|| "-".to_owned(), u64::to_string)
        };
        let difference = newest.and_then(|look| {
            let one = look.differences.get(arm)?;
            let ends = one.fixed.or(one.interval);
            let ends = ends.map_or_else(String::new, |(low, high)| {
                format!(" [{low:+.6}, {high:+.6}]")
            });
            Some(format!("{:+.6}{ends}", one.difference))
        });
        let value = newest.and_then(|look| look.values.get(arm));
        [
            arm.clone(),
            frozen.map_or_else(|| version.clone(), i32::to_string),
            row.shares
                .get(arm)
                .map_or_else(|| "-".to_owned(), f64::to_string),
            count(Stage::Assigned),
            count(Stage::Scored),
            count(Stage::Labelled),
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}")),
            difference.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let header = [
        "ARM",
        "VERSION",
        "SHARE",
        "ASSIGNED",
        "SCORED",
        "LABELLED",
        "VALUE",
        "AGAINST CONTROL",
    ];
    text.push_str(&output::table(header, rows));
    if let Some(look) = newest {
        let _ = write!(
            text,
            "\nlooked at {}: {}\n  {}",
            time(Some(look.at)),
            look.verdict.as_str(),
            look.reason
        );
    }
    text
}
