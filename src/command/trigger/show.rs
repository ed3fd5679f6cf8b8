//! `helenus trigger show`.

use serde_json::json;

use super::{Context, time, told};
use crate::{failure::Failure, output::Answer};

/// Show a trigger: its row, its answer, when it fires next, why it last did or did not
///
/// Example:
///
///     helenus trigger show tumour nightly
///
/// JSON result: {"job", "name", "state", "problems": [..], "fires", "next", "next_local", "next_due",
///   "queued_due", "waits_for", "last_due", "last_run", "last_outcome", "last_reason", "last_at",
///   "estimate": {"at", "rows", "pending", "low", "high", "exact", "sampled", "pending_since"},
///   "row": {the columns}, "created_by", "note"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The trigger's name
    name: String,
}

/// Shows it.
///
/// # Errors
/// Exit 5: no such trigger.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = told(&store, Some(&args.job), Some(&args.name), true).await?;
    let mut json = json!(null);
    let mut lines = Vec::new();
    for told in found {
        json = told.json();
        json["row"] = json!(told.row);
        json["created_by"] = json!(told.row.created_by);
        json["note"] = json!(told.row.note);
        lines.push(format!(
            "trigger {} of job {}: {}",
            told.row.name,
            told.row.job,
            told.state()
        ));
        if let Some(trigger) = &told.trigger {
            lines.push(format!("fires    {}", trigger.when));
        }
        let next = told
            .next()
            .map_or_else(|| told.waits_for(), |next| told.spoken(next));
        lines.push(format!("next     {next}"));
        lines.push(format!("last     {}", told.last()));
        let Some(status) = &told.status else { continue };
        if let (Some(due), Some(run)) = (status.last_due, status.last_run) {
            lines.push(format!("last run {run}, due {}", told.spoken(due)));
        }
        if let Some(estimate) = &status.estimate {
            lines.push(format!(
                "pending  {} of {} rows, 95 %: {} to {}, from {} rows at {}",
                estimate.pending,
                estimate.rows,
                estimate.low,
                estimate.high,
                estimate.sampled,
                time(estimate.at)
            ));
        }
        lines.extend(
            status
                .problems
                .iter()
                .map(|problem| format!("problem  {problem}")),
        );
    }
    Ok(Answer::new(json, lines.join("\n")))
}
