//! `helenus model rollback`.

use super::{super::Context, ask};
use crate::{
    domain::{alias::CHAMPION, model::check_name, problem::Problem},
    failure::Failure,
    output::Answer,
    store::alias_requests::AliasRequest,
};

/// Point an alias back at the version before
///
/// It goes to the last version that the alias pointed at before the one it points at now, so it
/// undoes the last move; a second rollback undoes the first.
///
/// Example:
///
///     helenus model rollback tumour --why "more false alarms in ward 3"
///
/// JSON result: {"model", "alias", "version", "request": {"day", "id"}, "answer", "reason"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
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

/// Asks for the rollback and gives its answer.
///
/// # Errors
/// Exit 5: no such alias; exit 4: there is nothing before, or that version is not ready.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    check_name("an alias", &args.alias).map_err(Failure::input)?;
    let store = context.store().await?;
    if store.alias(&args.name, &args.alias).await?.is_none() {
        return Err(Failure::not_found(Problem::new(
            "model.no_alias",
            format!("model `{}` has no alias `{}`", args.name, args.alias),
        )));
    }
    let request = AliasRequest {
        action: Some("rollback".to_owned()),
        model: Some(args.name),
        alias: Some(args.alias),
        expected_version: args.expected,
        why: args.why,
        ..AliasRequest::default()
    };
    ask::ask(&store, context, request, args.wait).await
}
