//! `helenus worker`, and `helenus worker list`.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use uuid::Uuid;

use super::{Context, score};
use crate::{
    config::{Config, duration},
    control::{
        http, once,
        service::{Ended, Service},
    },
    domain::{
        problem::Problem,
        run::{Run, RunState},
    },
    engine::run::{shared::Shared, stop::Asked},
    failure::{Exit, Failure},
    output::{self, Answer},
    store::{Store, admin::workers::WorkerRow},
    stream,
};

/// How often a run that is not planned yet is looked at.
const PLANNED: Duration = Duration::from_millis(500);

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
/// With --run it works on one run until that has ended, then exits as `helenus score` does: what a
/// cluster manager starts, in any number, to lend machines to a run. It answers nothing, so a worker
/// or `helenus score` must have planned the run. A worker that crashes is replaced by the others.
///
/// Examples:
///
///     helenus worker
///     helenus worker --once
///     helenus worker --run 7c1f6a10-cd2f-11f0-8de9-0242ac120002
///     helenus worker list
///
/// Exit code 130: it exited before everything was finished or given back. With --run, 1: the run
/// failed or was cancelled; 5: there is no such run.
///
/// JSON result: {"drained": true}; with --run: as `helenus score`; with --once: {"admitted": n, "jobs": n, "aliases": n,
///   "requests": n, "triggers": n, "fired": n, "runs": [run id …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// Do everything that is pending once and exit
    #[arg(long)]
    once: bool,
    /// Work on this run until it has ended, and exit with its outcome
    #[arg(long, value_name = "RUN", conflicts_with = "once")]
    run: Option<Uuid>,
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
    /// Returns whether the command runs until it is stopped, and so logs what it does.
    pub fn is_service(&self) -> bool {
        self.command.is_none() && !self.once && self.run.is_none()
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
    match (args.command, args.run) {
        (Some(Subcommand::List(_)), _) => list(&store).await,
        (None, Some(run)) => one_run(&store, run, context).await,
        (None, None) if args.once => once(&store).await,
        (None, None) => serve(store, args.drain_timeout).await,
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

/// Works on one run until it has ended.
async fn one_run(store: &Store, run_id: Uuid, context: &Context) -> Result<Answer, Failure> {
    let mut run = find_run(store, run_id).await?;
    // Planned and opened by a process that may answer requests.
    while !run.state.is_terminal() && run.state != RunState::Running {
        tokio::select! {
            () = tokio::time::sleep(PLANNED) => {}
            () = super::signal() => {
                let problem = Problem::new("run.interrupted", "interrupted before the run was planned");
                return Err(Failure::new(Exit::Interrupted, problem));
            }
        }
        if let Some(now) = store.run(&run.job, run_id).await? {
            run = now;
        }
    }
    score::work(store, run, context.format, false).await
}

/// Returns a run by its id alone, which no table has as its key: one small read for each job.
async fn find_run(store: &Store, run_id: Uuid) -> Result<Run, Failure> {
    // Cassandra refuses other uuids: no run has one.
    let is_timeuuid = run_id.get_version_num() == 1;
    let jobs = match is_timeuuid {
        true => store.sweep_jobs().await?,
        false => Vec::new(),
    };
    for job in jobs {
        if let Some(run) = store.run(&job, run_id).await? {
            return Ok(run);
        }
    }
    let problem = Problem::new("run.unknown", format!("no job has a run {run_id}"));
    Err(Failure::not_found(
        problem.help("`helenus run list JOB` shows the runs of a job"),
    ))
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
            "started_at": worker.started_at,
            "beat_at": worker.beat_at,
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
