//! `helenus model …`.

pub mod ask;
pub mod check;
mod history;
mod import;
mod list;
pub mod moving;
mod preprocess;
mod promote;
mod pull;
mod purge;
pub mod push;
mod reference;
mod retire;
mod rollback;
mod show;

use clap::Subcommand;

use super::Context;
use crate::{
    domain::{model::check_name, problem::Problem},
    failure::Failure,
    inspect::catalog::no_version,
    output::Answer,
    store::Store,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Model,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Model {
    Push(push::Args),
    Import(Box<import::Args>),
    Check(check::Args),
    List(list::Args),
    Show(show::Args),
    Pull(pull::Args),
    Reference(reference::Args),
    Promote(promote::Args),
    Rollback(rollback::Args),
    History(history::Args),
    Retire(retire::Args),
    Purge(purge::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Model::Push(args) => push::run(args, context).await,
        Model::Import(args) => import::run(*args, context).await,
        Model::Check(args) => check::run(args, context),
        Model::List(args) => list::run(args, context).await,
        Model::Show(args) => show::run(args, context).await,
        Model::Pull(args) => pull::run(args, context).await,
        Model::Reference(args) => reference::run(args, context).await,
        Model::Promote(args) => promote::run(args, context).await,
        Model::Rollback(args) => rollback::run(args, context).await,
        Model::History(args) => history::run(args, context).await,
        Model::Retire(args) => retire::run(args, context).await,
        Model::Purge(args) => purge::run(args, context).await,
    }
}

/// Resolves a version that is named by number or alias.
async fn resolve(store: &Store, model: &str, version: &str) -> Result<i32, Failure> {
    check_name("a model", model).map_err(Failure::input)?;
    if let Ok(number) = version.parse::<i32>() {
        return Ok(number);
    }
    check_name("an alias", version).map_err(Failure::input)?;
    store.alias(model, version).await?.ok_or_else(|| {
        Failure::not_found(
            Problem::new(
                "model.no_alias",
                format!("model `{model}` has no alias `{version}`"),
            )
            .help(format!(
                "list versions and aliases with `helenus model list {model}`"
            )),
        )
    })
}
