//! `helenus model …`.

pub mod ask;
pub mod check;
mod history;
mod list;
mod moving;
mod promote;
mod pull;
mod purge;
mod push;
mod retire;
mod rollback;
mod show;

use clap::Subcommand;

use super::Context;
use crate::{
    domain::{model::check_name, problem::Problem},
    failure::Failure,
    output::Answer,
    store::Store,
};

/// Arguments of `model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Model,
}

/// What to do with models. Each is described where its arguments are: a comment here would hide
/// that one from `--help`.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
enum Model {
    Push(push::Args),
    Check(check::Args),
    List(list::Args),
    Show(show::Args),
    Pull(pull::Args),
    Promote(promote::Args),
    Rollback(rollback::Args),
    History(history::Args),
    Retire(retire::Args),
    Purge(purge::Args),
}

impl Args {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Model::Push(_) => "model push",
            Model::Check(_) => "model check",
            Model::List(_) => "model list",
            Model::Show(_) => "model show",
            Model::Pull(_) => "model pull",
            Model::Promote(_) => "model promote",
            Model::Rollback(_) => "model rollback",
            Model::History(_) => "model history",
            Model::Retire(_) => "model retire",
            Model::Purge(_) => "model purge",
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// As the command has them.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Model::Push(args) => push::run(args, context).await,
        Model::Check(args) => check::run(args, context),
        Model::List(args) => list::run(args, context).await,
        Model::Show(args) => show::run(args, context).await,
        Model::Pull(args) => pull::run(args, context).await,
        Model::Promote(args) => promote::run(args, context).await,
        Model::Rollback(args) => rollback::run(args, context).await,
        Model::History(args) => history::run(args, context).await,
        Model::Retire(args) => retire::run(args, context).await,
        Model::Purge(args) => purge::run(args, context).await,
    }
}

/// A version as people name it: by number, or by an alias that points at it.
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
                "`helenus model list {model}` shows versions and aliases"
            )),
        )
    })
}

/// Nothing by that name, or by that number.
fn no_version(model: &str, version: Option<i32>) -> Failure {
    let (what, help) = match version {
        Some(version) => (
            format!("there is no version {version} of model `{model}`"),
            format!("`helenus model list {model}` shows those there are"),
        ),
        None => (
            format!("there is no model `{model}`"),
            "`helenus model list` shows those there are".to_owned(),
        ),
    };
    Failure::not_found(Problem::new("model.no_version", what).help(help))
}

/// A time as JSON and people read it.
pub fn time(at: Option<chrono::DateTime<chrono::Utc>>) -> Option<String> {
    at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}
