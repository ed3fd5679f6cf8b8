use std::process::ExitCode;

use helenus::{cli::Cli, command, scorer};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { scorer::runtime::without_telemetry() };
    // Before anything that reads arguments: the admission process knows no command line.
    if let Some(code) = scorer::child::take_over() {
        return code;
    }
    ExitCode::from(match Cli::read() {
        Ok(cli) => command::run(cli),
        Err(code) => code,
    })
}
