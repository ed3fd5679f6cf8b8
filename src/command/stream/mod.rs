//! `helenus stream`, `helenus stream status` and `helenus stream resume`.

mod resume;
mod status;

use std::time::Duration;

use super::Context;
use crate::{config::duration, failure::Failure, output::Answer};

/// Score the messages of Kafka topics
///
/// Reads the topics of the jobs named, or of all jobs with a [stream.in]; writes source rows if the
/// job says so; and sends predictions to the topic of [stream.out]. Predictions, dead letters and
/// offsets of a batch are one transaction: readers of committed messages see each prediction exactly
/// once. Start any number of processes: they share the partitions, and each can crash at any time
/// without loss.
///
/// If kafka.requests_topic is set, messages of that topic become requests for runs.
///
/// Brokers are set by kafka.brokers (HELENUS_KAFKA_BROKERS). SIGTERM or Ctrl-C commits what is in
/// progress within --drain-timeout and leaves the groups.
///
/// Examples:
///
///     helenus stream
///     helenus stream tumour
///     helenus stream status
///     helenus stream resume tumour
///
/// Exit code 130: it exited before everything was committed; another process reads it again.
///
/// JSON result: {"drained": bool}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// The jobs to read [default: all with a stream]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Time limit for committing what is in progress after the signal to stop
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain_timeout: Duration,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Status(status::Args),
    Resume(resume::Args),
}

impl Args {
    /// Returns whether the command runs until it is stopped, and so logs what it does.
    pub fn is_service(&self) -> bool {
        self.command.is_none()
    }
}

/// Reads until asked to stop, or runs the subcommand.
///
/// # Errors
/// Exit 2: Kafka's settings, a job without a stream, or a build without Kafka; exit 3: Cassandra;
/// exit 5: an unknown job.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Some(Subcommand::Status(args)) => status::run(args, context).await,
        Some(Subcommand::Resume(args)) => resume::run(args, context).await,
        None => read(args.jobs, args.drain_timeout, context).await,
    }
}

#[cfg(feature = "kafka")]
async fn read(jobs: Vec<String>, drain: Duration, context: &Context) -> Result<Answer, Failure> {
    use crate::{
        domain::problem::Problem,
        failure::Exit,
        metrics,
        stream::{client, process::StreamProcess},
    };

    // Before it connects: this does not need Cassandra.
    client::client_config(&context.config.kafka)?;
    if context.config.listen.is_some() {
        metrics::install();
    }
    let process = StreamProcess::new(context.store().await?, jobs).await?;
    let stopped = async {
        super::signal().await;
        tracing::info!("committing what is in progress; a second signal exits at once");
        tokio::spawn(async {
            super::signal().await;
            tracing::warn!("exiting at once; what was not committed is read again");
            std::process::exit(Exit::Interrupted as i32);
        });
    };
    match process.run(stopped, drain).await? {
        true => Ok(Answer::new(
            serde_json::json!({"drained": true}),
            "drained".to_owned(),
        )),
        false => Err(Failure::new(
            Exit::Interrupted,
            Problem::new(
                "stream.abandoned",
                "some messages were not committed in time",
            )
            .help("another process reads them again; raise `--drain-timeout` for more time"),
        )),
    }
}

#[cfg(not(feature = "kafka"))]
async fn read(_: Vec<String>, _: Duration, _: &Context) -> Result<Answer, Failure> {
    use crate::domain::problem::Problem;

    Err(Failure::input(
        Problem::new("kafka.not_built", "this build of helenus lacks Kafka")
            .help("build it with `cargo build --release --features kafka`, or take a release"),
    ))
}
