//! `helenus job pause`, `resume` and `delete`: wishes that hold for all revisions.

use serde_json::json;

use super::{Context, rows_of};
use crate::{failure::Failure, output::Answer};

/// Let no trigger start a run of the job
///
/// `helenus score` still does.
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

/// Take a pause back
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

/// End a job; its predictions stay
///
/// The job scores nothing any more. Its predictions, runs and revisions stay, and `job create`
/// with its manifest brings it back.
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

/// Pauses or resumes.
///
/// # Errors
/// Exit 5: no such job.
pub async fn pause(job: &str, context: &Context, paused: bool) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, job).await?;
    store.pause_job(job, paused).await?;
    let deleted = rows.iter().any(|row| row.deleted == Some(true));
    let said = match paused {
        true => "is paused: no trigger starts a run of it",
        false => "is no longer paused",
    };
    Ok(Answer::new(
        json!({"job": job, "paused": paused, "deleted": deleted}),
        format!("job `{}` {said}", job),
    ))
}

/// Deletes; predictions stay.
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
        format!("job `{}` is deleted{stay}", job),
    ))
}
