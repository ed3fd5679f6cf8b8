//! `helenus model promote`.

use super::{super::Context, moving::Moving, resolve};
use crate::{failure::Failure, output::Answer, store::registry::admissions::Readiness};

/// Point an alias at a version
///
/// The move and its history are written together, or not at all. The version must be ready:
/// admitted, not retired, and unchanged since its admission. It must also have scored the whole
/// table of every job that follows the alias, so that readers find its predictions. Otherwise
/// --when-covered scores the missing rows first, and --now moves the alias anyway. The first
/// promotion of an alias needs no coverage.
///
/// Examples:
///
///     helenus model promote tumour 2 --why "AUC 0.991 against 0.987"
///     helenus model promote tumour 3 --when-covered
///     helenus model promote tumour 3 --alias challenger --now
///     helenus model promote tumour challenger
///
/// JSON result: {"model", "alias", "version", "request": {"day", "id"}, "answer", "reason",
///   "coverage": [{"job", "percent", "changed", "run", "read_at", "in_the_way"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    moving: Moving,
    /// The version, by number or alias
    version: String,
}

/// Requests the promotion and returns its answer.
///
/// # Errors
/// Exit 5: no such version; exit 4: the version is not ready or not covered, or the alias does not
/// point at the expected version.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let moving = args.moving;
    moving.check()?;
    let store = context.store().await?;
    let version = resolve(&store, &moving.name, &args.version).await?;
    // Refused early, without a request; the worker checks again.
    let readiness = store.readiness(&moving.name, version).await?;
    if let Some(problem) = readiness.problem(&moving.name, version) {
        return Err(match readiness {
            Readiness::Missing => Failure::not_found(problem),
            _ => Failure::conflict(problem),
        });
    }
    moving
        .ask(&store, context, "promote", Some(version), version)
        .await
}
