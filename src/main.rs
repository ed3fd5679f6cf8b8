use std::process::ExitCode;

use helenus::{cli::Cli, command};

fn main() -> ExitCode {
    ExitCode::from(match Cli::read() {
        Ok(cli) => command::run(cli),
        Err(code) => code,
    })
}
