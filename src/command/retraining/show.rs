//! `helenus retraining show`.

use super::{Context, Known, as_json, find, requests, when};
use crate::{
    domain::retraining::RetrainingRow, failure::Failure, output::Answer,
    store::retraining::requests::RetrainingStatus,
};

/// Requests that are shown.
const SHOWN: i32 = 10;

/// Show a retraining and its newest requests, with the end of the trainer's log
///
/// Example:
///
///     helenus retraining show tumour weekly
///
/// JSON result: {"model", "name", "job", "trainer", "labels", "label_time", "cron", "time_zone",
///   "on_alarm", "labelled_rows", "window", "gate", "challenger", "paused", "problems": […], "next_due",
///   "requests": [{"id", "asked_at", "cause", "state": "training" | "admission" | "challenger" |
///   "scoring" | "evaluating" | "judging" | "passed" | "not_passed" | "evaluated" | "failed", "reason",
///   "version", "run_id", "evaluation", "training": null or {"state": "training" | "trained" |
///   "failed", "step", "attempts", "reason", "log", "rows", "held_out_rows", "data_sha256",
///   "command_sha256", "metrics", "started_at", "finished_at"}} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The retraining's name
    name: String,
}

/// Shows the retraining.
///
/// # Errors
/// Exit 5: no such retraining.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let row = find(&store, &args.model, &args.name).await?;
    let status = store.retraining_status(&args.model, &args.name).await?;
    let known = requests(&store, &args.model, &args.name, SHOWN).await?;
    Ok(Answer::new(
        as_json(&row, &status, &known),
        text(&row, &status, &known),
    ))
}

fn text(row: &RetrainingRow, status: &RetrainingStatus, known: &[Known]) -> String {
    let mut text = format!(
        "retraining `{}` of model `{}`: {}\n  trainer {} on job {}, labels {}\n",
        row.name,
        row.model,
        when(row),
        row.trainer.as_deref().unwrap_or("-"),
        row.job.as_deref().unwrap_or("-"),
        row.labels.as_deref().unwrap_or("-"),
    );
    for problem in &status.problems {
        text.push_str(&format!("  - {problem}\n"));
    }
    if let Some(at) = status.next_due {
        text.push_str(&format!("  next due {}\n", at.format("%FT%TZ")));
    }
    for (request, training) in known {
        let asked = request.asked_at.map(|at| at.format("%FT%TZ").to_string());
        text.push_str(&format!(
            "  {} {}: {}, {}\n",
            asked.unwrap_or_default(),
            request.id,
            request.cause,
            request.state.as_str()
        ));
        if let Some(version) = request.version {
            text.push_str(&format!("    version {version}\n"));
        }
        if let Some(reason) = &request.reason {
            text.push_str(&format!("    {reason}\n"));
        }
        let log = training.as_ref().and_then(|training| training.log.as_ref());
        for line in log.iter().flat_map(|log| log.lines()) {
            text.push_str(&format!("    | {line}\n"));
        }
    }
    text
}
