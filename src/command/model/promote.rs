//! `helenus model promote`.

use super::{super::Context, moving::Moving, resolve};
use crate::{failure::Failure, output::Answer, store::admissions::Readiness};

/// Point an alias at a version
///
/// The move and its history are written together, or not at all. A version must be ready: admitted,
/// not retired, and still what was admitted. It must also have scored every job that follows the
/// alias over the whole table, so that readers find its predictions: otherwise --when-covered
/// scores first, and --now moves all the same. The first promotion of an alias needs no coverage.
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
    /// Its version, or an alias that points at it
    version: String,
}

/// Asks for the promotion and gives its answer.
///
/// # Errors
/// Exit 5: no such version; exit 4: it is not ready or not covered, or the alias points elsewhere
/// than expected.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let moving = args.moving;
    moving.check()?;
    let store = context.store().await?;
    let version = resolve(&store, &moving.name, &args.version).await?;
    // Told at once, and nothing is asked for; the worker looks again.
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
