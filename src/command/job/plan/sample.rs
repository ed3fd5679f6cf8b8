//! The result of `job plan --sample`.

use serde_json::{Value, json};

use crate::{
    domain::{
        job::CompiledJob,
        problem::Problem,
        run::forecast::{Forecast, VersionForecast, format_key},
    },
    failure::Failure,
    output::{self, Answer},
};

/// Adds the sample's forecast to the answer; a version that would reject every row fails the command.
pub fn add(answer: &mut Answer, job: &CompiledJob, forecast: &Forecast) {
    answer.result["sample"] = as_json(forecast);
    answer.text.push_str(&text(forecast));
    if forecast.rows == 0 {
        answer
            .warnings
            .push("sample_empty: the source has no rows, so there is no forecast".to_owned());
        return;
    }
    let allowed = job.rules.max_rejected.max_rows(forecast.rows);
    for (number, version) in &forecast.versions {
        if version.rejected == forecast.rows {
            answer.failed = Some(Failure::no(all_rejected(*number, version, forecast.rows)));
        } else if version.rejected > allowed {
            answer.warnings.push(format!(
                "sample_rejected: version {number} would reject {} of {} rows; rules.max_rejected permits {allowed}, so a run would fail",
                version.rejected, forecast.rows
            ));
        }
    }
}

fn all_rejected(number: i32, version: &VersionForecast, rows: u64) -> Problem {
    let message = format!("version {number} would reject every row of the sample ({rows})");
    let reasons = version.by_frequency();
    let example = reasons.first().map_or("", |reason| reason.example.as_str());
    Problem::new("plan.all_rejected", message).help(format!(
        "change [features] of the manifest (`cast`, `null`, `as`, `width`, or another column): {example}"
    ))
}

fn as_json(forecast: &Forecast) -> Value {
    let versions = forecast.versions.iter().map(|(number, version)| {
        let mut reasons: Vec<_> = version.reasons.iter().collect();
        reasons.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.rows));
        let reasons = reasons.into_iter().map(|((code, about), reason)| {
            json!({
                "code": code,
                "about": about,
                "reason": reason.example,
                "rows": reason.rows,
                "keys": reason.keys,
            })
        });
        let reasons: Vec<_> = reasons.collect();
        let version = json!({"rejected": version.rejected, "reasons": reasons});
        (number.to_string(), version)
    });
    let versions: serde_json::Map<_, _> = versions.collect();
    json!({
        "rows": forecast.rows,
        "whole_source": forecast.is_whole,
        "versions": versions,
    })
}

fn text(forecast: &Forecast) -> String {
    let whole = if forecast.is_whole {
        ", the whole source"
    } else {
        ""
    };
    let mut text = format!("\nSample of {} rows{whole}:\n", forecast.rows);
    for (number, version) in &forecast.versions {
        text.push_str(&format!(
            "\nversion {number} would reject {} of them before scoring\n",
            version.rejected
        ));
        if version.rejected == 0 {
            continue;
        }
        let rows = version.by_frequency().into_iter().map(|reason| {
            let keys: Vec<_> = reason.keys.iter().map(format_key).collect();
            [
                reason.rows.to_string(),
                reason.example.clone(),
                keys.join(", "),
            ]
        });
        let header = ["ROWS", "REASON (FIRST ROW)", "KEYS SUCH AS"];
        text.push_str(&format!("\n{}\n", output::table(header, rows)));
    }
    text
}
