//! `helenus job pause`, `resume` and `delete`, which apply to all revisions.

use serde_json::json;

use super::{Context, rows_of};
use crate::{failure::Failure, output::Answer, process};

/// Pause a job: triggers start no runs of it
///
/// `helenus score` still starts runs.
///
/// Example:
///
///     helenus job pause tumour
///
/// JSON result: {"job", "paused", "deleted"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PauseArgs {
    /// The job
    pub job: String,
}

/// Resume a paused job
///
/// Example:
///
///     helenus job resume tumour
///
/// JSON result: {"job", "paused", "deleted"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ResumeArgs {
    /// The job
    pub job: String,
}

/// Delete a job, but keep its predictions
///
/// The job no longer scores anything. Its predictions, runs and revisions stay, and `job create` with
/// its manifest restores it.
///
/// Example:
///
///     helenus job delete tumour
///
/// JSON result: {"job", "paused", "deleted"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DeleteArgs {
    /// The job
    pub job: String,
}

/// Pauses or resumes the job.
///
/// # Errors
/// Exit 5: no such job.
pub async fn pause(job: &str, context: &Context, paused: bool) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, job).await?;
    store.pause_job(job, paused, &process::user(), None).await?;
    let deleted = rows.iter().any(|row| row.deleted == Some(true));
    let state = match paused {
        true => "is paused: triggers start no runs of it",
        false => "is no longer paused",
    };
    Ok(Answer::new(
        json!({"job": job, "paused": paused, "deleted": deleted}),
        format!("job `{job}` {state}"),
    ))
}

/// Marks the job as deleted; its predictions stay.
///
/// # Errors
/// Exit 5: no such job.
pub async fn delete(job: &str, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, job).await?;
    store.delete_job(job, true).await?;
    let paused = rows.iter().any(|row| row.paused == Some(true));
    let statuses = store.job_statuses(job).await?;
    let target = statuses.iter().find_map(|status| status.target.clone());
    let stay = target.map_or_else(String::new, |target| {
        format!("; its predictions stay in {target}")
    });
    Ok(Answer::new(
        json!({"job": job, "paused": paused, "deleted": true}),
        format!("job `{job}` is deleted{stay}"),
    ))
}
