//! One file a command: each talks to its user and holds no logic.

pub mod config;
pub mod migrate;
pub mod model;

use crate::{
    cli::{Cli, Command},
    config::Config,
    domain::problem::Problem,
    failure::Failure,
    logging,
    output::{self, Answer, Format},
    store::Store,
};

/// What every command gets beside its arguments.
#[derive(Debug)]
pub struct Context {
    /// Where Cassandra and ONNX Runtime are.
    pub config: Config,
    /// How the answer will be printed: progress is for people.
    pub format: Format,
}

impl Context {
    /// A session on the migrated keyspace.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn store(&self) -> Result<Store, Failure> {
        Store::connect(&self.config).await
    }
}

/// Runs one command; gives the exit code.
pub fn run(cli: Cli) -> u8 {
    let format = cli.output;
    let name = name(&cli.command);
    let outcome = start(cli);
    output::print(format, name, outcome)
}

fn start(cli: Cli) -> Result<Answer, Failure> {
    let context = Context {
        config: Config::resolve(&cli.connection)?,
        format: cli.output,
    };
    logging::start(&context.config);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Failure::system(Problem::new(
            "system.runtime",
            format!("no threads: {error}"),
        ))
    })?;
    runtime.block_on(dispatch(cli.command, &context))
}

/// The command's words, as the JSON object names them.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Migrate(_) => "migrate",
        Command::Config(_) => "config",
        Command::Model(args) => args.name(),
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<Answer, Failure> {
    match command {
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Config(args) => config::run(args, context),
        Command::Model(args) => model::run(args, context).await,
    }
}
