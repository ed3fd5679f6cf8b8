//! `helenus model …`.

pub mod check;

use clap::Subcommand;

use super::Context;
use crate::{failure::Failure, output::Answer};

/// Arguments of `model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Model,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
enum Model {
    /// Decide about a local file as admission would, without Cassandra
    Check(check::Args),
}

impl Args {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Model::Check(_) => "model check",
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// As the command has them.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Model::Check(args) => check::run(args, context),
    }
}
