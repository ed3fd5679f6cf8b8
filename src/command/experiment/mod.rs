//! `helenus experiment …`.

mod list;
mod show;
pub(crate) mod start;
pub(crate) mod stop;
pub(super) mod view;
mod wait;

use clap::Subcommand;

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    inspect::experiment::state::{self, ExperimentView},
    output::Answer,
    store::Store,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Command {
    Start(Box<start::Args>),
    List(list::Args),
    Show(show::Args),
    Stop(stop::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Command::Start(args) => Box::pin(start::run(*args, context)).await,
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => Box::pin(show::run(args, context)).await,
        Command::Stop(args) => Box::pin(stop::run(args, context)).await,
    }
}

/// Returns an experiment with at most `looks` looks.
///
/// # Errors
/// Exit 5: no such experiment.
async fn find(store: &Store, job: &str, name: &str, looks: i32) -> Result<ExperimentView, Failure> {
    let states = state::states(store, Some(job), looks).await?;
    let mut states = states.into_iter();
    states.find(|state| state.row.name == name).ok_or_else(|| {
        let message = format!("job `{job}` has no experiment `{name}`");
        let problem = Problem::new("experiment.unknown", message);
        Failure::not_found(problem.help(format!("`helenus experiment list {job}` shows all")))
    })
}
