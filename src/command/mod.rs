//! One file a command: each talks to its user and holds no logic.

pub mod migrate;

use crate::{cli::Cli, output};

/// Runs one command; gives the exit code.
pub fn run(cli: Cli) -> u8 {
    let (name, outcome) = match cli.command {
        crate::cli::Command::Migrate(args) => ("migrate", migrate::run(args)),
    };
    output::print(cli.output, name, outcome)
}
