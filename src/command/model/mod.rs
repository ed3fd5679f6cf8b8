//! `helenus model …`.

pub mod check;
mod push;
mod wait;

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
    /// Store an ONNX file as the next version of a model
    Push(push::Args),
    /// Decide about a local file as admission would, without Cassandra
    Check(check::Args),
}

impl Args {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Model::Push(_) => "model push",
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
        Model::Push(args) => push::run(args, context).await,
        Model::Check(args) => check::run(args, context),
    }
}
