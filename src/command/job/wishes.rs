//! `helenus job pause`, `resume` and `delete`: wishes that hold for all revisions.

use serde_json::json;

use super::{Context, rows_of};
use crate::{failure::Failure, output::Answer};

/// Write a wish about a job
///
/// `pause`: no trigger starts a run of the job; `helenus score` still does. `delete`: the job
/// scores nothing any more; its predictions, runs and revisions stay, and `job create` with its
/// manifest brings it back.
///
/// Examples:
///
///     helenus job pause tumour
///     helenus job resume tumour
///     helenus job delete tumour
///
/// JSON result: {"job", "paused", "deleted"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
}

/// Pauses or resumes.
///
/// # Errors
/// Exit 5: no such job.
pub async fn pause(args: Args, context: &Context, paused: bool) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, &args.job).await?;
    store.pause_job(&args.job, paused).await?;
    let deleted = rows.iter().any(|row| row.deleted == Some(true));
    let said = match paused {
        true => "is paused: no trigger starts a run of it",
        false => "is no longer paused",
    };
    Ok(Answer::new(
        json!({"job": args.job, "paused": paused, "deleted": deleted}),
        format!("job `{}` {said}", args.job),
    ))
}

/// Deletes; predictions stay.
///
/// # Errors
/// Exit 5: no such job.
pub async fn delete(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, &args.job).await?;
    store.delete_job(&args.job, true).await?;
    let paused = rows.iter().any(|row| row.paused == Some(true));
    let statuses = store.job_statuses(&args.job).await?;
    let target = statuses.iter().find_map(|status| status.target.clone());
    let stay = target.map_or_else(String::new, |target| {
        format!("; its predictions stay in {target}")
    });
    Ok(Answer::new(
        json!({"job": args.job, "paused": paused, "deleted": true}),
        format!("job `{}` is deleted{stay}", args.job),
    ))
}
