use std::process::ExitCode;

use clap::Parser;
use helenus::{cli::Cli, command};

fn main() -> ExitCode {
    ExitCode::from(command::run(Cli::parse()))
}
