//! One file a command: each talks to its user and holds no logic.

pub mod compare;
pub mod config;
pub mod doctor;
pub mod dry_run;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod follow;
pub mod forget;
pub mod gate;
pub mod job;
pub mod migrate;
pub mod model;
pub mod report;
pub mod role;
pub mod run;
pub mod score;
pub mod status;
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
    let config = Config::resolve(&cli.connection)?;
    let context = Context {
        config: match &cli.command {
            Command::Worker(args) if args.is_service() => config.for_a_service(),
            _ => config,
        },
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
        Command::Doctor(_) => "doctor",
        Command::Model(args) => args.name(),
        Command::Score(_) => "score",
        Command::Run(command) => command.name(),
        Command::Status(_) => "status",
        Command::Verify(_) => "verify",
        Command::Evaluate(_) => "evaluate",
        Command::Compare(_) => "compare",
        Command::Explain(_) => "explain",
        Command::Export(_) => "export",
        Command::Worker(args) => args.name(),
        Command::Forget(_) => "forget",
        Command::Gate(args) => args.name(),
        Command::Job(args) => args.name(),
        Command::Role(args) => args.name(),
        Command::Trigger(args) => args.name(),
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<Answer, Failure> {
    match command {
        Command::Migrate(args) => migrate::run(args, context).await,
        Command::Config(args) => config::run(args, context),
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Model(args) => model::run(args, context).await,
        Command::Gate(args) => gate::run(args, context).await,
        Command::Job(args) => job::run(args, context).await,
        Command::Role(args) => role::run(args, context).await,
        Command::Trigger(args) => trigger::run(args, context).await,
        Command::Score(args) => score::run(args, context).await,
        Command::Run(command) => run::run(command, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Verify(args) => verify::run(args, context).await,
        Command::Evaluate(args) => evaluate::run(args, context).await,
        Command::Compare(args) => compare::run(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Export(args) => export::run(args, context).await,
        Command::Forget(args) => forget::run(args, context).await,
        Command::Worker(args) => worker::run(args, context).await,
    }
}

/// A timeuuid of now, as `now()` in CQL makes one.
fn new_id() -> uuid::Uuid {
    let mut node: [u8; 6] = rand::random();
    // RFC 9562, 6.10: a node that is no IEEE 802 address has its multicast bit set.
    node[0] |= 1;
    uuid::Uuid::now_v1(&node)
}

/// Who asks: the person's login on this machine.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    format!(
        "{user} on {}",
        crate::process::spoken(crate::process::identity())
    )
}

/// Waits for Ctrl-C or SIGTERM.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without a handler the signal ends the process, which loses nothing either.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// A time as people write it.
///
/// # Errors
/// Exit 2: it is none.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, Failure> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|error| {
            Failure::input(
                Problem::new("usage", format!("`{text}` is no time: {error}"))
                    .at("--at")
                    .help("write it as 2026-03-01T14:03:00Z"),
            )
        })
}
