//! Converts an evaluation into rows of `evaluations`.

use std::collections::BTreeMap;

use super::{EvaluateSpec, Evaluated};
use crate::{
    domain::evidence::evaluation::labels::Meaning, store::evidence::evaluations::Evaluation,
};

/// Returns one row per version.
pub fn rows(
    evaluated: &Evaluated,
    wish: &EvaluateSpec,
    options: &BTreeMap<String, String>,
) -> Vec<Evaluation> {
    let scope = &evaluated.scope;
    let part = &evaluated.found.part;
    let count = |rows: u64| Some(rows as i64);
    let (task, positive) = task(&evaluated.target.meaning);
    let labels = format!("{}.{}", wish.labels.table, wish.labels.column);
    let versions = scope.versions.iter().zip(&evaluated.results);
    versions
        .enumerate()
        .filter_map(|(at, (number, result))| {
            let mut compiled = scope.job.versions.iter();
            let ready = &compiled.find(|v| v.ready.version == *number)?.ready;
            let aliases = scope.aliases_of(*number).into_iter().map(str::to_owned);
            let mut row = Evaluation::new(
                (&ready.model, *number),
                (evaluated.id, evaluated.at),
                result,
            );
            row.job = Some(scope.job.job.clone());
            row.job_revision = Some(scope.revision);
            row.model_sha256 = Some(ready.admitted.sha256.to_vec());
            row.aliases = Some(aliases.collect());
            row.versions = Some(scope.versions.clone());
            row.labels = Some(labels.clone());
            row.task = Some(task.to_owned());
            row.positive = positive.clone();
            row.options = Some(options.clone());
            row.leakage = Some(evaluated.leakage.as_str().to_owned());
            row.warnings = Some(evaluated.warnings.clone());
            row.source_rows = count(evaluated.found.source_rows);
            row.labelled = count(part.labelled);
            row.untimed = count(part.untimed);
            row.orphaned = count(evaluated.found.orphaned.get(number).copied().unwrap_or(0));
            row.stray_labels = count(evaluated.found.stray_labels);
            row.headline = Some(evaluated.headline.to_owned());
            row.headline_value = result.metrics.get(evaluated.headline).copied();
            row.baseline = (at > 0).then(|| scope.versions[0]);
            row.segment = wish.segment.clone();
            row.requested_by = wish.requested_by.clone();
            Some(row)
        })
        .collect()
}

/// Returns the task's name, and the positive class of a binary task.
pub fn task(meaning: &Meaning) -> (&'static str, Option<String>) {
    match meaning {
        Meaning::Positive { positive, .. } => ("binary", Some(positive.clone())),
        Meaning::Classes(_) => ("classes", None),
        Meaning::Number => ("regression", None),
    }
}
