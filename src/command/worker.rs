//! `helenus worker`, and `helenus worker list`.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::Context;
use crate::{
    config::{Config, duration},
    control::{
        http, once,
        service::{Ended, Service},
    },
    domain::problem::Problem,
    engine::run::{shared::Shared, stop::Asked},
    failure::{Exit, Failure},
    output::{self, Answer},
    store::{Store, admin::workers::WorkerRow},
    stream,
};

/// Answer requests and work on open runs
///
/// Runs until it is stopped. Start any number of workers, on any machines: all of them score, and
/// one of them leads (it admits versions, validates jobs, answers requests and fires triggers). Each
/// of them can crash at any time without loss.
///
/// SIGTERM or Ctrl-C drains: the worker claims nothing new, and finishes its claimed splits within
/// --drain-timeout or gives them back. A second signal exits at once and still loses nothing: other
/// workers take over when the leases expire.
///
/// With --once it does everything that is pending once and exits, for cron or for a test.
///
/// Examples:
///
///     helenus worker
///     helenus worker --once
///     helenus worker list
///
/// Exit code 130: it exited before everything was finished or given back.
///
/// JSON result: {"drained": true}; with --once: {"admitted": n, "jobs": n, "aliases": n,
///   "requests": n, "triggers": n, "fired": n, "runs": [run id …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// Do everything that is pending once and exit
    #[arg(long)]
    once: bool,
    /// Time limit for finishing claimed splits after the signal to stop
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain_timeout: Duration,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    List(List),
}

/// List the running workers and what each is doing
///
/// Example:
///
///     helenus worker list
///
/// JSON result: [{"worker", "host", "pid", "version", "runtime_version", "state", "doing": […],
///   "started_at", "beat_at"} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct List {}

impl Args {
    /// Returns the command's name in the JSON object.
    pub fn name(&self) -> &'static str {
        match self.command {
            None => "worker",
            Some(Subcommand::List(_)) => "worker list",
        }
    }

    /// Returns whether the command runs until it is stopped, and so logs what it does.
    pub fn is_service(&self) -> bool {
        self.command.is_none() && !self.once
    }
}

/// Runs the service, one pass over everything, or the list.
///
/// # Errors
/// Exit 3: Cassandra or the ONNX Runtime library.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if args.is_service() {
        // Before it connects: this does not need Cassandra.
        can_sign(&context.config)?;
    }
    let store = context.store().await?;
    match args.command {
        Some(Subcommand::List(_)) => list(&store).await,
        None if args.once => once(&store).await,
        None => serve(store, args.drain_timeout).await,
    }
}

async fn serve(store: Store, drain: Duration) -> Result<Answer, Failure> {
    let listen = store.config().listen;
    let sink = stream::prediction_sink(store.config());
    let service = Service::new(store).sending_to(sink);
    // Serves until this function returns.
    let _server = match listen {
        Some(listen) => Some(http::serve(listen, service.health()).await?),
        None => None,
    };
    let stop = service.stop();
    tokio::spawn(async move {
        loop {
            super::signal().await;
            if stop.ask(Asked::Drain) >= Asked::Drain {
                tracing::warn!("exiting at once; other workers take over when the leases expire");
                std::process::exit(Exit::Interrupted as i32);
            }
            tracing::info!("finishing work in progress; a second signal exits at once");
        }
    });
    tracing::info!("worker started");
    match service.run(drain).await {
        Ended::Drained => Ok(Answer::new(json!({"drained": true}), "drained".to_owned())),
        Ended::Abandoned => Err(Failure::new(
            Exit::Interrupted,
            Problem::new(
                "worker.abandoned",
                "some work did not finish in time; other workers take it over when its lease expires",
            )
            .help("see the log for what it was, and raise `--drain-timeout` for more time"),
        )),
    }
}

/// Checks that the webhook's secret can be read: what is sent must be signed.
fn can_sign(config: &Config) -> Result<(), Failure> {
    let Some(webhook) = &config.alarms.webhook else {
        return Ok(());
    };
    webhook.secret().map(drop).map_err(|error| {
        let help = "write one line: 16 bytes or more, or `whsec_` and base64";
        Failure::input(Problem::new("alarms.secret", error).help(help))
    })
}

async fn list(store: &Store) -> Result<Answer, Failure> {
    let workers = store.workers().await?;
    let result = workers.iter().map(|worker| {
        json!({
            "worker": worker.worker.to_string(),
            "host": worker.host,
            "pid": worker.pid,
            "version": worker.version,
            "runtime_version": worker.runtime_version,
            "state": worker.state,
            "doing": worker.doing,
            "started_at": worker.started_at.to_rfc3339(),
            "beat_at": worker.beat_at.to_rfc3339(),
        })
    });
    let text = if workers.is_empty() {
        "no workers are running; start one with `helenus worker`".to_owned()
    } else {
        output::table(
            ["HOST", "PID", "VERSION", "STATE", "SEEN", "DOING"],
            workers.iter().map(line).collect::<Vec<_>>(),
        )
    };
    Ok(Answer::new(result.collect(), text))
}

fn line(worker: &WorkerRow) -> [String; 6] {
    let age_s = (Utc::now() - worker.beat_at).num_seconds().max(0);
    let doing = match worker.doing.as_slice() {
        [] => "nothing".to_owned(),
        lines => lines.join("\n"),
    };
    [
        worker.host.clone(),
        worker.pid.to_string(),
        worker.version.clone(),
        worker.state.clone(),
        format!("{age_s} s ago"),
        doing,
    ]
}

async fn once(store: &Store) -> Result<Answer, Failure> {
    let sink = stream::prediction_sink(store.config());
    let shared = Shared::new(store.config()).sending_to(sink);
    let pass = once::once(store, &shared).await?;
    let runs: Vec<_> = pass.runs.iter().map(ToString::to_string).collect();
    let answered = |controller: &str| pass.answered_by(controller);
    let text = format!(
        "{} versions admitted or rejected, {} jobs validated, {} alias requests and {} run requests answered, {} triggers answered and {} fired, {} runs worked on",
        answered("admission"),
        answered("jobs"),
        answered("aliases"),
        answered("requests"),
        answered("triggers"),
        pass.fired,
        runs.len()
    );
    let result = json!({
        "admitted": answered("admission"), "jobs": answered("jobs"),
        "aliases": answered("aliases"), "requests": answered("requests"),
        "triggers": answered("triggers"), "fired": pass.fired, "runs": runs,
    });
    let mut answer = Answer::new(result, text);
    answer.warnings = pass.errors;
    Ok(answer)
}
