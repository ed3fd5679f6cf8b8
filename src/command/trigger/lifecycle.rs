//! `helenus trigger pause`, `resume` and `remove`.

use super::{Context, Which, add::answer, find, wait};
use crate::{failure::Failure, output::Answer, store::Store};

/// Pause a trigger
///
/// Events during the pause do not make it fire later: a resumed trigger only follows new events.
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

/// Resume a paused trigger
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

/// Remove a trigger
///
/// Its runs stay, and an open run continues. The row stays, too, marked as removed, with its last
/// answer; `trigger add` with the same name replaces it.
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

/// Pauses or resumes the trigger.
///
/// # Errors
/// Exit 5: no such trigger; exit 3: no answer in time.
pub(super) async fn pause(
    which: Which,
    context: &Context,
    paused: bool,
) -> Result<Answer, Failure> {
    let store = context.store().await?;
    find(&store, Some(&which.job), Some(&which.name), false).await?;
    store.pause_trigger(&which.job, &which.name, paused).await?;
    answer(wait::answered(&store, context, (&which.job, &which.name), which.wait).await?)
}

/// Removes the trigger.
///
/// # Errors
/// As [`pause`].
pub(super) async fn remove(which: Which, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    find(&store, Some(&which.job), Some(&which.name), false).await?;
    remove_row(&store, context, (&which.job, &which.name), which.wait).await
}

/// Marks a trigger's row as removed, and returns its answer.
///
/// # Errors
/// Exit 3: no answer in time, or Cassandra.
pub async fn remove_row(
    store: &Store,
    context: &Context,
    (job, name): (&str, &str),
    wait: wait::Wait,
) -> Result<Answer, Failure> {
    store.remove_trigger(job, name).await?;
    answer(wait::answered(store, context, (job, name), wait).await?)
}
