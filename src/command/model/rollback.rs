//! `helenus model rollback`.

use super::{super::Context, moving::Moving};
use crate::{
    domain::{alias::previous, problem::Problem},
    failure::Failure,
    output::Answer,
};

/// Point an alias back at the version before
///
/// It goes to the last version that the alias pointed at before the one it points at now, so it
/// undoes the last move; a second rollback undoes the first. As with promote, that version must
/// have scored every job that follows the alias; `versions = ["champion", "previous"]` in a job
/// keeps it so. --now goes back all the same.
///
/// Examples:
///
///     helenus model rollback tumour --why "more false alarms in ward 3"
///     helenus model rollback tumour --now
///
/// JSON result: {"model", "alias", "version", "request": {"day", "id"}, "answer", "reason",
///   "coverage": [{"job", "percent", "changed", "run", "read_at", "in_the_way"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    moving: Moving,
}

/// Asks for the rollback and gives its answer.
///
/// # Errors
/// Exit 5: no such alias; exit 4: there is nothing before, or that version is not ready or not
/// covered.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let moving = args.moving;
    moving.check()?;
    let store = context.store().await?;
    let history = store
        .recent_alias_history(&moving.name, &moving.alias)
        .await?;
    let Some(last) = history.first() else {
        return Err(Failure::not_found(Problem::new(
            "model.no_alias",
            format!("model `{}` has no alias `{}`", moving.name, moving.alias),
        )));
    };
    // Without one before, the answer says so.
    let to = previous(&history).unwrap_or(last.to);
    moving.ask(&store, context, "rollback", None, to).await
}
