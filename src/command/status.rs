//! `helenus status`.

use chrono::Utc;
use serde_json::{Value, json};

use super::{Context, alarm, experiment::view, run::run_json};
use crate::{
    domain::run::Run,
    failure::Failure,
    inspect::status::{self, JobLine, ModelLine, RetrainingLine, Status, Waiting, ago, began},
    output::{self, Answer},
};

/// Show models, jobs, open runs, unanswered requests and alarms on one screen
///
/// Warnings point out versions that were altered, jobs that no longer fit their tables, runs that
/// failed or that no worker works on, experiments that are refused or whose arms lose rows, requests
/// without an answer, alarms that are not acknowledged, and retrainings that fail or that no trainer
/// serves.
///
/// Example:
///
///     helenus status
///
/// JSON result: {"cassandra": {"release", "lacks"}, "models": [{"name",
///   "aliases": {…}, "versions": [{"version", "state", "reason", "registered_at"}]}], "jobs": [{"job",
///   "revision", "ready_revision", "state", "problems", "paused", "source", "target", "last_run",
///   "open_runs": [{"run", "splits_done", "splits_held"}]}],
///   "experiments": [as `helenus experiment show` …], "waiting": [{"table", "day", "id", "action", "about", "requested_by", "asked_at", "behind"}],
///   "alarms": [as `helenus alarm ack` …],
///   "retrainings": [{"model", "name", "problems", "state", "reason", "version"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {}

/// Reads the status and prints it.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(_: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let status = status::read(&store).await?;
    let mut answer = Answer::new(as_json(&status), text(&status));
    answer.warnings = status.warnings;
    Ok(answer)
}

fn as_json(status: &Status) -> Value {
    json!({
        "cassandra": status.release.as_json(),
        "models": status.models.iter().map(model_json).collect::<Value>(),
        "jobs": status.jobs.iter().map(job_json).collect::<Value>(),
        "experiments": status.experiments.iter().map(view::as_json).collect::<Value>(),
        "waiting": status.waiting.iter().map(waiting_json).collect::<Value>(),
        "alarms": status.alarms.iter().map(alarm::as_json).collect::<Value>(),
        "retrainings": status.retrainings.iter().map(retraining_json).collect::<Value>(),
    })
}

fn model_json(model: &ModelLine) -> Value {
    let versions = model.versions.iter().map(|version| {
        json!({
            "version": version.version,
            "state": version.state,
            "reason": version.reason,
            "registered_at": version.registered_at,
        })
    });
    json!({
        "name": model.name,
        "aliases": model.aliases,
        "versions": versions.collect::<Value>(),
    })
}

fn job_json(job: &JobLine) -> Value {
    let open = job.open.iter().map(|open| {
        json!({
            "run": run_json(&open.run),
            "splits_done": open.done,
            "splits_held": open.held,
        })
    });
    let problems = job.status.as_ref().map(|status| &status.problems);
    json!({
        "job": job.job,
        "revision": job.revision,
        "ready_revision": job.ready,
        "state": job.state(),
        "problems": problems,
        "paused": job.paused,
        "source": job.source,
        "target": job.target,
        "last_run": job.last.as_ref().map(run_json),
        "open_runs": open.collect::<Value>(),
    })
}

fn waiting_json(waiting: &Waiting) -> Value {
    json!({
        "table": waiting.table,
        "day": waiting.day,
        "id": waiting.id,
        "action": waiting.action,
        "about": waiting.about,
        "requested_by": waiting.requested_by,
        "asked_at": waiting.asked_at,
        "behind": waiting.behind.map(|run| run.to_string()),
    })
}

fn retraining_json(retraining: &RetrainingLine) -> Value {
    let request = retraining.request.as_ref();
    json!({
        "model": retraining.model,
        "name": retraining.name,
        "problems": retraining.problems,
        "state": request.map(|request| request.state.as_str()),
        "reason": request.and_then(|request| request.reason.as_ref()),
        "version": request.and_then(|request| request.version),
    })
}

fn text(status: &Status) -> String {
    let mut parts = Vec::new();
    match status.models.as_slice() {
        [] => parts.push("no models; register one with `helenus model push`".to_owned()),
        models => {
            let rows = models
                .iter()
                .map(|model| [model.name.clone(), versions(model)]);
            parts.push(output::table(["MODEL", "VERSIONS"], rows));
        }
    }
    match status.jobs.as_slice() {
        [] => parts.push("no jobs; create one with `helenus job create`".to_owned()),
        jobs => {
            let header = ["JOB", "REVISION", "STATE", "SOURCE -> TARGET", "LAST RUN"];
            parts.push(output::table(header, jobs.iter().map(job_row)));
        }
    }
    let open: Vec<_> = status.jobs.iter().flat_map(open_rows).collect();
    if !open.is_empty() {
        let header = ["OPEN RUN", "JOB", "STATE", "SPLITS DONE", "HELD", "BEGAN"];
        parts.push(output::table(header, open));
    }
    if !status.experiments.is_empty() {
        let header = ["EXPERIMENT", "JOB", "STATE", "VERDICT"];
        let rows = status.experiments.iter().map(|experiment| {
            [
                experiment.row.name.clone(),
                experiment.row.job.clone(),
                experiment.state().to_owned(),
                experiment.verdict().unwrap_or("-").to_owned(),
            ]
        });
        parts.push(output::table(header, rows));
    }
    if !status.waiting.is_empty() {
        let header = ["REQUEST", "ACTION", "ABOUT", "ASKED", "BY"];
        parts.push(output::table(
            header,
            status.waiting.iter().map(waiting_row),
        ));
    }
    if !status.alarms.is_empty() {
        let header = ["ALARM", "JOB", "KIND", "SINCE", "STATE", "WHAT"];
        let rows = status.alarms.iter().map(alarm::row);
        parts.push(output::table(header, rows));
    }
    parts.join("\n\n")
}

/// Lists the newest versions, and those that an alias points at.
fn versions(model: &ModelLine) -> String {
    const NEWEST: usize = 5;
    let mut left_out = 0;
    let mut shown = Vec::new();
    for (at, version) in model.versions.iter().enumerate() {
        let aliases = model.aliases_of(version.version);
        if at >= NEWEST && aliases.is_empty() {
            left_out += 1;
            continue;
        }
        let aliases = match aliases.as_slice() {
            [] => String::new(),
            aliases => format!(" ({})", aliases.join(", ")),
        };
        shown.push(format!("{} {}{aliases}", version.version, version.state));
    }
    if left_out > 0 {
        shown.push(format!("{left_out} older"));
    }
    shown.join(", ")
}

fn job_row(job: &JobLine) -> [String; 5] {
    let or_dash = |table: &Option<String>| table.clone().unwrap_or_else(|| "-".to_owned());
    let revision = match job.ready {
        Some(ready) if ready != job.revision => format!("{} (runs use {ready})", job.revision),
        _ => job.revision.to_string(),
    };
    let paused = if job.paused { ", paused" } else { "" };
    [
        job.job.clone(),
        revision,
        format!("{}{paused}", job.state()),
        format!("{} -> {}", or_dash(&job.source), or_dash(&job.target)),
        job.last
            .as_ref()
            .map_or_else(|| "none has ended".to_owned(), last_run),
    ]
}

fn last_run(run: &Run) -> String {
    let sum = |map: &std::collections::BTreeMap<i32, u64>| map.values().sum::<u64>();
    let ended = run.finished_at.unwrap_or_else(|| began(run));
    format!(
        "{} {} ago: {} rows, {} scored, {} unchanged, {} rejected",
        run.state,
        ago(ended, Utc::now()),
        run.counts.source_rows,
        sum(&run.counts.scored),
        sum(&run.counts.unchanged),
        sum(&run.counts.rejected),
    )
}

fn open_rows(job: &JobLine) -> impl Iterator<Item = [String; 6]> {
    job.open.iter().map(|open| {
        let run = &open.run;
        let cancel = if run.cancel_requested {
            ", to be cancelled"
        } else {
            ""
        };
        [
            run.run_id.to_string(),
            job.job.clone(),
            format!("{}{cancel}", run.state),
            format!("{} of {}", open.done, run.splits_total),
            open.held
                .map_or_else(|| "-".to_owned(), |held| held.to_string()),
            format!("{} ago", ago(began(run), Utc::now())),
        ]
    })
}

fn waiting_row(waiting: &Waiting) -> [String; 5] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let asked = waiting
        .asked_at
        .map(|at| format!("{} ago", ago(at, Utc::now())));
    [
        waiting.id.to_string(),
        or_dash(&waiting.action),
        or_dash(&waiting.about),
        asked.unwrap_or_else(|| "-".to_owned()),
        or_dash(&waiting.requested_by),
    ]
}
