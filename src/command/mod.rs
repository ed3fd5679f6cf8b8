//! The commands, one module each: they parse, ask and print, and contain no logic.

pub mod alarm;
pub mod apply;
pub(super) mod ask;
pub mod bundle;
pub mod compare;
pub mod config;
pub mod doctor;
pub mod drift;
pub mod dry_run;
pub mod evaluate;
pub mod experiment;
pub mod explain;
pub mod export;
pub mod follow;
pub mod forget;
pub mod gate;
pub mod job;
pub mod migrate;
pub mod model;
pub mod pipe;
pub mod plan;
pub mod progress_lines;
pub mod retraining;
pub mod role;
pub mod run;
pub mod score;
pub mod serve;
pub mod similar;
pub mod status;
pub mod stream;
pub mod token;
pub mod trainer;
pub mod trigger;
pub mod verify;
pub mod watched;
pub mod whole_file;
pub mod worker;

use chrono::{DateTime, Utc};

use crate::{
    cli::{Cli, Command},
    config::Config,
    domain::problem::Problem,
    failure::Failure,
    logging,
    output::{self, Answer, Format},
    store::Store,
};

/// What every command gets in addition to its arguments.
#[derive(Debug)]
pub struct Context {
    pub config: Config,
    /// The output format; progress is shown with text only.
    pub format: Format,
}

impl Context {
    /// Connects to the migrated keyspace.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn store(&self) -> Result<Store, Failure> {
        Store::connect(&self.config).await
    }
}

/// Runs one command and returns the exit code.
pub fn run(cli: Cli) -> u8 {
    let format = cli.output;
    let name = cli.name.clone();
    if format == Format::Markdown && !matches!(cli.command, Command::Plan(_)) {
        let problem = Problem::new("usage", format!("`helenus {name}` does not print Markdown"))
            .at("--output")
            .help("use text or json; markdown is for `helenus plan`");
        return output::print(Format::Text, &name, Err(Failure::input(problem)));
    }
    let outcome = start(cli);
    output::print(format, &name, outcome)
}

fn start(cli: Cli) -> Result<Answer, Failure> {
    let config = Config::resolve(&cli.connection)?;
    if let Some(file) = config.file()
        && file.is_from_working_directory
    {
        output::tell(&format!("configuration: {}", file.path.display()));
    }
    let context = Context {
        config: match &cli.command {
            Command::Serve(_) => config.for_a_service(),
            Command::Worker(args) if args.is_service() => config.for_a_service(),
            Command::Trainer(args) if args.is_service() => config.for_a_service(),
            Command::Stream(args) if args.is_service() => config.for_a_service(),
            _ => config,
        },
        format: cli.output,
    };
    logging::start(&context.config);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Failure::system(Problem::new(
            "system.runtime",
            format!("cannot start threads: {error}"),
        ))
    })?;
    runtime.block_on(dispatch(cli.command, &context))
}

async fn dispatch(command: Command, context: &Context) -> Result<Answer, Failure> {
    // Boxed: otherwise every command has the largest command's future on its stack.
    match command {
        Command::Migrate(args) => Box::pin(migrate::run(args, context)).await,
        Command::Plan(args) => Box::pin(plan::run(args, context)).await,
        Command::Apply(args) => Box::pin(apply::run(args, context)).await,
        Command::Bundle(args) => Box::pin(bundle::run(args, context)).await,
        Command::Pipe(args) => Box::pin(pipe::run(args, context)).await,
        Command::Config(args) => config::run(args, context),
        Command::Doctor(args) => Box::pin(doctor::run(args, context)).await,
        Command::Model(args) => Box::pin(model::run(args, context)).await,
        Command::Experiment(args) => Box::pin(experiment::run(args, context)).await,
        Command::Alarm(args) => Box::pin(alarm::run(args, context)).await,
        Command::Gate(args) => Box::pin(gate::run(args, context)).await,
        Command::Job(args) => Box::pin(job::run(args, context)).await,
        Command::Retraining(args) => Box::pin(retraining::run(args, context)).await,
        Command::Trainer(args) => Box::pin(trainer::run(args, context)).await,
        Command::Role(args) => Box::pin(role::run(args, context)).await,
        Command::Token(args) => token::run(args, context),
        Command::Trigger(args) => Box::pin(trigger::run(args, context)).await,
        Command::Score(args) => Box::pin(score::run(args, context)).await,
        Command::Run(command) => Box::pin(run::run(command, context)).await,
        Command::Status(args) => Box::pin(status::run(args, context)).await,
        Command::Verify(args) => Box::pin(verify::run(args, context)).await,
        Command::Evaluate(args) => Box::pin(evaluate::run(args, context)).await,
        Command::Compare(args) => Box::pin(compare::run(args, context)).await,
        Command::Drift(args) => Box::pin(drift::run(args, context)).await,
        Command::Explain(args) => Box::pin(explain::run(args, context)).await,
        Command::Export(args) => Box::pin(export::run(args, context)).await,
        Command::Similar(args) => Box::pin(similar::run(args, context)).await,
        Command::Forget(args) => Box::pin(forget::run(args, context)).await,
        Command::Serve(args) => Box::pin(serve::run(args, context)).await,
        Command::Stream(args) => Box::pin(stream::run(args, context)).await,
        Command::Worker(args) => Box::pin(worker::run(args, context)).await,
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without a handler the signal ends the process, which is safe, too.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Parses the RFC 3339 time of `--at`.
///
/// # Errors
/// Exit 2: the text is not a time.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, Failure> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|error| {
            Failure::input(
                Problem::new("usage", format!("invalid time `{text}`: {error}"))
                    .at("--at")
                    .help("write the time as 2026-03-01T14:03:00Z"),
            )
        })
}
