//! `helenus worker`, and `helenus worker list`.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::Context;
use crate::{
    config::duration,
    failure::{Exit, Failure},
    output::{self, Answer},
    store::{Store, workers::WorkerRow},
    worker::{
        self, http,
        run::{shared::Shared, stop::Asked},
        service::{Ended, Service},
    },
};

/// Answer rows that people wrote, and work on open runs
///
/// It runs until it is told to end. Start any number, on any machines: all of them score, one of
/// them leads (admits versions, validates jobs, answers requests and triggers), and any may die at any time.
/// SIGTERM or Ctrl-C drains: nothing new is begun, what is claimed is finished within
/// --drain-timeout or given back. A second one leaves at once and still loses nothing: others take
/// over when the leases have run out.
///
/// With --once it goes over everything once and leaves, for cron or for a test.
///
/// Examples:
///
///     helenus worker
///     helenus worker --once
///     helenus worker list
///
/// Exit code 130: it left before everything was finished or given back.
///
/// JSON result: {"drained": true}; with --once: {"admitted": n, "jobs": n, "aliases": n,
/// "requests": n, "triggers": n, "fired": n, "runs": [run id …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// Go over everything once and leave
    #[arg(long)]
    once: bool,
    /// How long splits that are claimed may take to be finished, when it is told to end
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain_timeout: Duration,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    List(List),
}

/// List the workers that are there, and what each does
///
/// Example:
///
///     helenus worker list
///
/// JSON result: [{"worker", "host", "pid", "version", "runtime_version", "state", "doing": […],
/// "started_at", "beat_at"} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct List {}

impl Args {
    /// The command's words.
    pub fn name(&self) -> &'static str {
        match self.command {
            None => "worker",
            Some(Subcommand::List(_)) => "worker list",
        }
    }

    /// Whether it goes on until it is told to end: then what it does is worth a line.
    pub fn is_service(&self) -> bool {
        self.command.is_none() && !self.once
    }
}

/// One pass over everything, the service, or a list.
///
/// # Errors
/// Cassandra's, or the library's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    match args.command {
        Some(Subcommand::List(_)) => list(&store).await,
        None if args.once => once(&store).await,
        None => serve(store, args.drain_timeout).await,
    }
}

async fn serve(store: Store, drain: Duration) -> Result<Answer, Failure> {
    let listen = store.config().listen;
    let service = Service::new(store);
    // Answers until the end of this function.
    let _server = match listen {
        Some(listen) => Some(http::serve(listen, service.health()).await?),
        None => None,
    };
    let stop = service.stop();
    tokio::spawn(async move {
        loop {
            super::signal().await;
            if stop.ask(Asked::Drain) >= Asked::Drain {
                tracing::warn!("left at once; others take over when the leases have run out");
                std::process::exit(Exit::Interrupted as i32);
            }
            tracing::info!("finishing what is under way; once more leaves at once");
        }
    });
    tracing::info!("this worker is there");
    match service.run(drain).await {
        Ended::Drained => Ok(Answer::new(json!({"drained": true}), "drained".to_owned())),
        Ended::Abandoned => Err(Failure::new(
            Exit::Interrupted,
            crate::domain::problem::Problem::new(
                "worker.abandoned",
                "something did not end in time; others take it over when its lease has run out",
            )
            .help("the log says what; `--drain-timeout` gives more time"),
        )),
    }
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
        "no worker is there: start one with `helenus worker`".to_owned()
    } else {
        output::table(
            ["HOST", "PID", "VERSION", "STATE", "SEEN", "DOING"],
            workers.iter().map(line).collect::<Vec<_>>(),
        )
    };
    Ok(Answer::new(result.collect(), text))
}

fn line(worker: &WorkerRow) -> [String; 6] {
    let silent = (Utc::now() - worker.beat_at).num_seconds().max(0);
    let doing = match worker.doing.as_slice() {
        [] => "nothing".to_owned(),
        lines => lines.join("\n"),
    };
    [
        worker.host.clone(),
        worker.pid.to_string(),
        worker.version.clone(),
        worker.state.clone(),
        format!("{silent} s ago"),
        doing,
    ]
}

async fn once(store: &Store) -> Result<Answer, Failure> {
    let done = worker::once(store, &Shared::new(store.config())).await?;
    let runs: Vec<_> = done.runs.iter().map(ToString::to_string).collect();
    let text = format!(
        "{} versions admitted or refused, {} jobs validated, {} alias requests and {} run requests answered, {} triggers answered and {} fired, {} runs worked on",
        done.admissions,
        done.jobs,
        done.aliases,
        done.requests,
        done.triggers,
        done.fired,
        runs.len()
    );
    let result = json!({
        "admitted": done.admissions, "jobs": done.jobs, "aliases": done.aliases,
        "requests": done.requests, "triggers": done.triggers, "fired": done.fired, "runs": runs,
    });
    let mut answer = Answer::new(result, text);
    answer.warnings = done.troubles;
    Ok(answer)
}
