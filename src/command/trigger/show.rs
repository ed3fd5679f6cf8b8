//! `helenus trigger show`.

use serde_json::json;

use super::{Context, find};
use crate::{codec::utc, failure::Failure, output::Answer};

/// Show a trigger: its row, state, next time and last outcome
///
/// Example:
///
///     helenus trigger show tumour nightly
///
/// JSON result: {"job", "name", "state", "problems": […], "fires", "next", "next_local", "next_due",
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

/// Shows the trigger.
///
/// # Errors
/// Exit 5: no such trigger.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = find(&store, Some(&args.job), Some(&args.name), true).await?;
    let mut json = json!(null);
    let mut lines = Vec::new();
    for view in found {
        json = view.json();
        json["row"] = json!(view.row);
        json["created_by"] = json!(view.row.created_by);
        json["note"] = json!(view.row.note);
        lines.push(format!(
            "trigger {} of job {}: {}",
            view.row.name,
            view.row.job,
            view.state()
        ));
        if let Some(trigger) = &view.trigger {
            lines.push(format!("fires    {}", trigger.when));
        }
        let next = view
            .next()
            .map_or_else(|| view.waits_for(), |next| view.local_time(next));
        lines.push(format!("next     {next}"));
        lines.push(format!("last     {}", view.last_outcome()));
        let Some(status) = &view.status else { continue };
        if let (Some(due), Some(run)) = (status.last_due, status.last_run) {
            lines.push(format!("last run {run}, due {}", view.local_time(due)));
        }
        if let Some(estimate) = &status.estimate {
            lines.push(format!(
                "pending  {} of {} rows, 95 %: {} to {}, from {} rows at {}",
                estimate.pending,
                estimate.rows,
                estimate.low,
                estimate.high,
                estimate.sampled,
                utc::to_second(estimate.at)
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
