//! `helenus trigger pause`, `resume` and `remove`.

use super::{Context, Which, add::answer, told, wait};
use crate::{failure::Failure, output::Answer};

/// Let a trigger rest
///
/// What happens meanwhile does not make it fire later: a resumed trigger follows what comes then.
///
/// Example:
///
///     helenus trigger pause tumour nightly
///
/// JSON result: as `helenus trigger add`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PauseArgs {
    #[command(flatten)]
    pub(super) which: Which,
}

/// Let a trigger go on
///
/// Example:
///
///     helenus trigger resume tumour nightly
///
/// JSON result: as `helenus trigger add`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub(super) which: Which,
}

/// End a trigger
///
/// Its runs stay, and an open one goes on. The row stays as well, marked as removed, with its last
/// answer; `trigger add` of the same name takes its place.
///
/// Example:
///
///     helenus trigger remove tumour nightly
///
/// JSON result: as `helenus trigger add`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RemoveArgs {
    #[command(flatten)]
    pub(super) which: Which,
}

/// Pauses or resumes.
///
/// # Errors
/// Exit 5: no such trigger; exit 3: nobody answered.
pub async fn pause(which: Which, context: &Context, paused: bool) -> Result<Answer, Failure> {
    let store = context.store().await?;
    told(&store, Some(&which.job), Some(&which.name), false).await?;
    store.pause_trigger(&which.job, &which.name, paused).await?;
    answer(wait::answered(&store, context, (&which.job, &which.name), which.wait).await?)
}

/// Removes.
///
/// # Errors
/// As [`pause`].
pub async fn remove(which: Which, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    told(&store, Some(&which.job), Some(&which.name), false).await?;
    store.remove_trigger(&which.job, &which.name).await?;
    answer(wait::answered(&store, context, (&which.job, &which.name), which.wait).await?)
}
