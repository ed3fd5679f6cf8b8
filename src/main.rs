use std::process::ExitCode;

use helenus::{cli::Cli, command, scorer};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { scorer::runtime::without_telemetry() };
    // First, because the admission process has no command line to parse.
    if let Some(code) = scorer::child::take_over() {
        return code;
    }
    ExitCode::from(match Cli::read() {
        Ok(cli) => command::run(cli),
        Err(code) => code,
    })
}
