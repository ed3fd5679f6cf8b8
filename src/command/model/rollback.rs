//! `helenus model rollback`.

use super::{super::Context, moving::Moving};
use crate::{
    domain::{model::alias::previous, problem::Problem},
    failure::Failure,
    output::Answer,
};

/// Point an alias back at its previous version
///
/// Undoes the last move: the alias goes to the version that it pointed at before the current one. A
/// second rollback undoes the first. As with promote, that version must have scored every job that
/// follows the alias; `versions = ["champion", "previous"]` in a job ensures this. --now moves the
/// alias anyway.
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

/// Requests the rollback and returns its answer.
///
/// # Errors
/// Exit 5: no such alias; exit 4: there is no previous version, or it is not ready or not covered.
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
    // Without a previous version the answer reports it.
    let to = previous(&history).unwrap_or(last.to);
    moving.ask(&store, context, "rollback", None, to).await
}
