//! The command line: options of every command, and the subcommands.

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{command, config, domain::problem::Problem, failure::Failure, output, output::Format};

/// Score the rows of Apache Cassandra tables with trained models that are stored there
///
/// Everything is a row: each command writes rows that any CQL client could write, and reads the
/// answer of the worker.
#[derive(Debug, Parser)]
#[command(name = "helenus", version)]
pub struct Cli {
    #[command(flatten)]
    pub connection: config::Flags,
    /// Output format; `json` prints exactly one object on stdout
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Format,
    #[command(subcommand)]
    pub command: Command,
    /// The words of the subcommand, as the JSON object names it: `model push`.
    #[arg(skip)]
    pub name: String,
}

/// The subcommands. Most have their help where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
pub enum Command {
    Migrate(command::migrate::Args),
    Plan(command::plan::Args),
    Apply(command::apply::Args),
    Bundle(command::bundle::Args),
    Pipe(command::pipe::Args),
    Config(command::config::Args),
    Doctor(command::doctor::Args),
    /// Manage models, their versions and their aliases
    Model(command::model::Args),
    Score(command::score::Args),
    /// Show runs, list rejected rows, cancel a run
    #[command(subcommand)]
    Run(command::run::Command),
    Status(command::status::Args),
    Verify(command::verify::Args),
    Evaluate(command::evaluate::Args),
    Compare(command::compare::Args),
    Drift(command::drift::Args),
    Explain(command::explain::Args),
    Export(command::export::Args),
    Similar(command::similar::Args),
    Forget(command::forget::Args),
    Worker(command::worker::Args),
    Serve(command::serve::Args),
    Stream(command::stream::Args),
    /// Manage experiments: which share of rows is served by which version
    Experiment(command::experiment::Args),
    Trainer(command::trainer::Args),
    /// Show and acknowledge alarms: what went wrong with jobs, and since when
    Alarm(command::alarm::Args),
    /// Manage gates: the evidence a version needs before it can get an alias
    Gate(command::gate::Args),
    /// Manage jobs: which models score which table
    Job(command::job::Args),
    /// Manage retrainings: when models are trained again
    Retraining(command::retraining::Args),
    /// Create Cassandra roles and show their permissions
    Role(command::role::Args),
    /// Manage the tokens of callers of `helenus serve`
    Token(command::token::Args),
    /// Manage triggers: when jobs run by themselves
    Trigger(command::trigger::Args),
}

impl Cli {
    /// Parses the command line.
    ///
    /// # Errors
    /// The exit code, after printing help, the version, or a usage error (as JSON with
    /// `--output json`).
    pub fn read() -> Result<Self, u8> {
        Self::parse_named().map_err(|error| {
            let mut words = std::env::args();
            let json = words.any(|word| word == "--output=json")
                || std::env::args()
                    .zip(std::env::args().skip(1))
                    .any(|(flag, value)| flag == "--output" && value == "json");
            if !error.use_stderr() || !json {
                // A closed pipe is not an error: the reader has seen enough.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(2);
            }
            let rendered = error.render().to_string();
            let (message, help) = rendered.split_once('\n').unwrap_or((&rendered, ""));
            let problem = Problem::new("usage", message.trim_start_matches("error: "));
            let problem = match help.trim() {
                "" => problem,
                help => problem.help(help),
            };
            output::print(Format::Json, "", Err(Failure::input(problem)))
        })
    }

    fn parse_named() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let name = subcommand_name(&matches);
        let cli = Self::from_arg_matches_mut(&mut matches);
        let cli = cli.map_err(|error| error.format(&mut command))?;
        Ok(Self { name, ..cli })
    }
}

fn subcommand_name(mut matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    while let Some((word, inner)) = matches.subcommand() {
        words.push(word);
        matches = inner;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_an_example_and_the_shape_of_its_result() {
        fn leaves(command: &clap::Command, path: &str, incomplete: &mut Vec<String>) {
            for inner in command.get_subcommands() {
                let path = format!("{path} {}", inner.get_name());
                if inner.has_subcommands() {
                    leaves(inner, &path, incomplete);
                    continue;
                }
                let help = inner.get_long_about().unwrap_or_default().to_string();
                if !(help.contains("Example") && help.contains("JSON result")) {
                    incomplete.push(path);
                }
            }
        }
        let mut incomplete = Vec::new();
        leaves(&super::Cli::command(), "helenus", &mut incomplete);
        assert!(incomplete.is_empty(), "{incomplete:#?}");
    }
}
