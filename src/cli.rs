//! The commands' words.

use clap::{Parser, Subcommand};

use crate::{command, config, domain::problem::Problem, failure::Failure, output, output::Format};

/// Trained models in Apache Cassandra score the rows that live there.
///
/// Everything is a row: each command writes what any CQL client could write, and reads back what
/// the worker answered.
#[derive(Debug, Parser)]
#[command(name = "helenus", version)]
pub struct Cli {
    #[command(flatten)]
    pub connection: config::Flags,
    /// `json` prints exactly one object on stdout
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Format,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do. Each is described where its arguments are: a comment here would hide that one from
/// `--help`.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Migrate(command::migrate::Args),
    Config(command::config::Args),
    Doctor(command::doctor::Args),
    /// Models, their versions and their aliases
    Model(command::model::Args),
    Score(command::score::Args),
    /// Look at runs, list what they rejected, cancel one
    #[command(subcommand)]
    Run(command::run::Command),
    Status(command::status::Args),
    Verify(command::verify::Args),
    Evaluate(command::evaluate::Args),
    Compare(command::compare::Args),
    Explain(command::explain::Args),
    Export(command::export::Args),
    Forget(command::forget::Args),
    Worker(command::worker::Args),
    /// Gates: what a version must show before it may get an alias
    Gate(command::gate::Args),
    /// Jobs: which models score which table
    Job(command::job::Args),
    /// Roles in Cassandra: who may do what
    Role(command::role::Args),
    /// Triggers: when jobs run by themselves
    Trigger(command::trigger::Args),
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The exit code, when everything is said already: help, version, or a mistake (in JSON, if
    /// that was asked for).
    pub fn read() -> Result<Self, u8> {
        Self::try_parse().map_err(|error| {
            let mut words = std::env::args();
            let json = words.any(|word| word == "--output=json")
                || std::env::args()
                    .zip(std::env::args().skip(1))
                    .any(|(flag, value)| flag == "--output" && value == "json");
            if !error.use_stderr() || !json {
                // A closed pipe is the reader's wish.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(2);
            }
            let said = error.render().to_string();
            let (message, help) = said.split_once('\n').unwrap_or((&said, ""));
            let problem = Problem::new("usage", message.trim_start_matches("error: "));
            let problem = match help.trim() {
                "" => problem,
                help => problem.help(help),
            };
            output::print(Format::Json, "", Err(Failure::input(problem)))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_words_of_the_commands_do_not_collide() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_an_example_and_tells_the_shape_of_its_result() {
        fn leaves(command: &clap::Command, path: &str, untaught: &mut Vec<String>) {
            for inner in command.get_subcommands() {
                let path = format!("{path} {}", inner.get_name());
                if inner.has_subcommands() {
                    leaves(inner, &path, untaught);
                    continue;
                }
                let help = inner.get_long_about().unwrap_or_default().to_string();
                if !(help.contains("Example") && help.contains("JSON result")) {
                    untaught.push(path);
                }
            }
        }
        let mut untaught = Vec::new();
        leaves(&super::Cli::command(), "helenus", &mut untaught);
        assert!(untaught.is_empty(), "{untaught:#?}");
    }
}
