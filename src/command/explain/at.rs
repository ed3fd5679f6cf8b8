//! `helenus explain --at`.

use serde_json::{Value, json};

use super::{json::lineage_json, lineage_text, plain, short};
use crate::{
    inspect::explain::Then,
    output::{self, Answer},
};

/// Renders the predictions as of a past time.
pub fn answer(then: &Then) -> Answer {
    let mut answer = Answer::new(as_json(then), text(then));
    if then.history.is_none() {
        answer.warnings.push(
            "no_history: only predictions that are still stored are known; `[outputs] history = true` keeps future ones"
                .to_owned(),
        );
    }
    answer
}

fn as_json(then: &Then) -> Value {
    let versions = then.versions.iter().map(|(number, version)| {
        let prediction = &version.prediction;
        let version = json!({
            "aliases": version.aliases,
            "outputs": Value::Object(prediction.outputs.iter().cloned().collect()),
            "lineage": lineage_json(&prediction.lineage),
            "aliases_then": prediction.aliases_then,
            "run": prediction.run.as_ref().map(super::super::run::run_json),
        });
        (number.to_string(), version)
    });
    json!({
        "job": then.job.job,
        "revision": then.revision,
        "target": format!("{}.{}", then.job.target.keyspace, then.job.target.table),
        "history": then.history.as_ref().map(ToString::to_string),
        "key": Value::Object(then.key.iter().cloned().collect()),
        "at": then.at,
        "aliases": then.aliases,
        "versions": Value::Object(versions.collect()),
    })
}

fn text(then: &Then) -> String {
    let key = then.key.iter();
    let key: Vec<_> = key
        .map(|(name, value)| format!("{name} = {}", plain(value)))
        .collect();
    let mut text = format!(
        "{} of job {} at {} UTC\n",
        key.join(", "),
        then.job.job,
        then.at.format("%F %T%.3f"),
    );
    for (number, version) in &then.versions {
        let prediction = &version.prediction;
        text.push_str(&format!("\nversion {number}"));
        if !version.aliases.is_empty() {
            text.push_str(&format!(" ({} then)", version.aliases.join(", ")));
        }
        if let Some(reason) = &prediction.lineage.rejected {
            text.push_str(&format!(": rejected ({reason})"));
        }
        let outputs = prediction.outputs.iter();
        let rows = outputs.map(|(name, value)| [name.clone(), short(value)]);
        text.push_str(&format!(
            "\n\n{}\n",
            output::table(["OUTPUT", "VALUE"], rows)
        ));
        text.push_str(&lineage_text(prediction));
    }
    for (alias, version) in &then.aliases {
        if !then.versions.contains_key(version) {
            text.push_str(&format!(
                "\n{alias} was version {version}, which has no known prediction from before that time\n"
            ));
        }
    }
    text
}
