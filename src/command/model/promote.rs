//! `helenus model promote`.

use super::{super::Context, ask, resolve};
use crate::{
    domain::{
        alias::{CHAMPION, PREVIOUS},
        model::check_name,
        problem::Problem,
    },
    failure::Failure,
    output::Answer,
    store::{admissions::Readiness, alias_requests::AliasRequest},
};

/// Point an alias at a version
///
/// The move and its history are written together, or not at all. A version must be ready: admitted,
/// not retired, and still what was admitted.
///
/// Examples:
///
///     helenus model promote tumour 2 --why "AUC 0.991 against 0.987"
///     helenus model promote tumour 3 --alias challenger
///     helenus model promote tumour challenger
///
/// JSON result: {"model", "alias", "version", "request": {"day", "id"}, "answer", "reason"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// Its version, or an alias that points at it
    version: String,
    /// The alias to move
    #[arg(long, default_value = CHAMPION)]
    alias: String,
    /// Refuse unless the alias points at this version now
    #[arg(long, value_name = "VERSION")]
    expected: Option<i32>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Asks for the promotion and gives its answer.
///
/// # Errors
/// Exit 5: no such version; exit 4: it is not ready, or the alias points elsewhere than expected.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    check_name("an alias", &args.alias).map_err(Failure::input)?;
    if args.alias == PREVIOUS {
        return Err(Failure::input(
            Problem::new("alias.reserved", "`previous` is not moved by itself")
                .help("it is always the version before the champion"),
        ));
    }
    let store = context.store().await?;
    let version = resolve(&store, &args.name, &args.version).await?;
    // Told at once, and nothing is asked for; the worker looks again.
    let readiness = store.readiness(&args.name, version).await?;
    if let Some(problem) = readiness.problem(&args.name, version) {
        return Err(match readiness {
            Readiness::Missing => Failure::not_found(problem),
            _ => Failure::conflict(problem),
        });
    }
    let request = AliasRequest {
        action: Some("promote".to_owned()),
        model: Some(args.name),
        alias: Some(args.alias),
        version: Some(version),
        expected_version: args.expected,
        why: args.why,
        ..AliasRequest::default()
    };
    ask::ask(&store, context, request, args.wait).await
}
