//! `helenus run`: shows, lists and cancels runs.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Context,
    follow::{self, Answering},
    model::ask::Wait,
};
use crate::{
    control::requests,
    domain::{
        answer::AnswerKind,
        problem::Problem,
        run::{Run, RunState},
    },
    engine::run::close,
    failure::Failure,
    inspect::catalog::{RunDetail, no_run},
    output::{self, Answer},
    process,
    store::{Store, runs::run_requests::RunRequest},
};

/// Show runs, list rejected rows, cancel a run
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List a job's runs, newest first
    ///
    /// Example:
    ///
    ///     helenus run list tumour --limit 5
    ///
    /// JSON result: [as `run show` …]
    #[command(verbatim_doc_comment)]
    List {
        /// The job
        job: String,
        /// Maximum number of runs
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..))]
        limit: i32,
    },
    /// Show one run: its state, counts and output statistics
    ///
    /// Example:
    ///
    ///     helenus run show tumour
    ///
    /// JSON result: the columns of table `runs`; counts and statistics by version
    #[command(verbatim_doc_comment)]
    Show {
        /// The job
        job: String,
        /// The run's id [default: the newest run]
        run: Option<Uuid>,
    },
    /// List the rows that a run rejected, with their reasons
    ///
    /// Example:
    ///
    ///     helenus run rejected tumour --limit 20
    ///
    /// JSON result: [{"version", "key": {column: value …}, "reason"} …]
    #[command(verbatim_doc_comment)]
    Rejected {
        /// The job
        job: String,
        /// The run's id [default: the newest run]
        run: Option<Uuid>,
        /// Maximum number of rows
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
        limit: i32,
    },
    /// Request a run to stop; it is cancelled once no process works on it
    ///
    /// The predictions that it has written stay, and the next run continues from there.
    ///
    /// Example:
    ///
    ///     helenus run cancel tumour 7c2a4e10-e55f-11f1-8b2a-0242ac120002
    ///
    /// JSON result: {"run_id", "cancelled": bool}
    #[command(verbatim_doc_comment)]
    Cancel {
        /// The job
        job: String,
        /// The run's id
        run: Uuid,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// Exit 5: no such run; exit 3: Cassandra.
pub async fn run(command: Command, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    match command {
        Command::List { job, limit } => list(&store, &job, limit).await,
        Command::Show { job, run } => show(&store, &job, run).await,
        Command::Rejected { job, run, limit } => rejected(&store, &job, run, limit).await,
        Command::Cancel { job, run, wait } => cancel(&store, context, job, run, wait).await,
    }
}

async fn list(store: &Store, job: &str, limit: i32) -> Result<Answer, Failure> {
    let runs = store.runs(job, limit).await?;
    if runs.is_empty() {
        return Err(no_run(job));
    }
    let rows = runs.iter().map(|run| {
        let sum =
            |map: &std::collections::BTreeMap<i32, u64>| map.values().sum::<u64>().to_string();
        [
            run.run_id.to_string(),
            state(run),
            run.scope.as_str().to_owned(),
            versions(run),
            run.counts.source_rows.to_string(),
            sum(&run.counts.scored),
            sum(&run.counts.unchanged),
            sum(&run.counts.rejected),
            run.started_at
                .map(|at| at.format("%F %T").to_string())
                .unwrap_or_default(),
        ]
    });
    let header = [
        "RUN",
        "STATE",
        "SCOPE",
        "VERSIONS",
        "ROWS",
        "SCORED",
        "UNCHANGED",
        "REJECTED",
        "STARTED (UTC)",
    ];
    let text = output::table(header, rows.collect::<Vec<_>>());
    Ok(Answer::new(runs.iter().map(run_json).collect(), text))
}

fn state(run: &Run) -> String {
    match run.state {
        RunState::Running => format!(
            "running, {} of {} splits",
            run.splits_done, run.splits_total
        ),
        ended => ended.to_string(),
    }
}

/// Returns the run with that id, or the newest run of the job.
pub async fn find(store: &Store, job: &str, run: Option<Uuid>) -> Result<Run, Failure> {
    let found = match run {
        Some(id) => store.run(job, id).await?,
        None => store.runs(job, 1).await?.into_iter().next(),
    };
    found.ok_or_else(|| no_run(job))
}

async fn show(store: &Store, job: &str, run: Option<Uuid>) -> Result<Answer, Failure> {
    let run = find(store, job, run).await?;
    let mut answer = Answer::new(run_json(&run), run_text(&run));
    answer.warnings.clone_from(&run.warnings);
    Ok(answer)
}

async fn rejected(
    store: &Store,
    job: &str,
    run: Option<Uuid>,
    limit: i32,
) -> Result<Answer, Failure> {
    let run = find(store, job, run).await?;
    let rows = store.rejected_rows(&run, limit).await?;
    let result: Value = rows
        .iter()
        .map(|row| json!({"version": row.version, "key": row.key, "reason": row.reason}))
        .collect();
    let total: u64 = run.counts.rejected.values().sum();
    if rows.is_empty() {
        let text = format!(
            "run {} lists no rejected rows; {total} are stored as rejected",
            run.run_id
        );
        return Ok(Answer::new(result, text));
    }
    let table = rows.iter().map(|row| {
        let key: Vec<_> = row
            .key
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        [row.version.to_string(), key.join(" "), row.reason.clone()]
    });
    let mut text = output::table(["VERSION", "KEY", "REASON"], table.collect::<Vec<_>>());
    if total > rows.len() as u64 {
        text.push_str(&format!(
            "\n{} of {total} rows stored as rejected: an earlier run lists the rows that it rejected, and lists are limited",
            rows.len()
        ));
    }
    Ok(Answer::new(result, text))
}

async fn cancel(
    store: &Store,
    context: &Context,
    job: String,
    run: Uuid,
    wait: Wait,
) -> Result<Answer, Failure> {
    let id = process::timeuuid();
    let request = RunRequest {
        day: requests::day_of(id),
        id,
        action: Some("cancel".to_owned()),
        job: Some(job.clone()),
        target_run: Some(run),
        requested_by: Some(process::user()),
        ..RunRequest::default()
    };
    store.insert_run_request(&request).await?;
    let answering = follow::answered(store, context, &request, None, wait).await?;
    let (answer, refusal, here) = match answering {
        Answering::Here(answered) => (answered.answer, answered.refusal, true),
        Answering::Worker(answer) => (answer, None, false),
        Answering::Behind { run, .. } => {
            let message = format!("the request is waiting for run {}", run.run_id);
            return Err(Failure::system(Problem::new("request.waits", message)));
        }
    };
    if answer.kind == AnswerKind::Refused {
        let reason = answer.reason.unwrap_or_default();
        let ended = Failure::conflict(Problem::new("run.not_cancelled", reason));
        return Err(refusal.unwrap_or(ended));
    }
    // A run that no process works on has no process to end it.
    let ended = match store.run(&job, run).await? {
        Some(run) if here && !run.state.is_terminal() => close::cancel_if_idle(store, &run).await?,
        other => other.is_some_and(|run| run.state == RunState::Cancelled),
    };
    let text = format!(
        "run {run} {}",
        if ended {
            "is cancelled"
        } else {
            "has been asked to stop"
        }
    );
    Ok(Answer::new(
        json!({"run_id": run.to_string(), "cancelled": ended}),
        text,
    ))
}

fn versions(run: &Run) -> String {
    let name = |version: &i32| {
        let aliases = run
            .aliases
            .iter()
            .filter(|(_, points_at)| *points_at == version);
        aliases.fold(version.to_string(), |text, (alias, _)| {
            format!("{text} ({alias})")
        })
    };
    run.versions.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Renders a run's row as JSON.
pub fn run_json(run: &Run) -> Value {
    json!(RunDetail::from(run))
}

/// Renders a run in one line.
pub fn run_line(run: &Run) -> String {
    let sum = |map: &std::collections::BTreeMap<i32, u64>| map.values().sum::<u64>();
    let mut line = format!(
        "run {}: {}, scope {}, {} source rows, {} scored, {} unchanged, {} rejected",
        run.run_id,
        run.state,
        run.scope.as_str(),
        run.counts.source_rows,
        sum(&run.counts.scored),
        sum(&run.counts.unchanged),
        sum(&run.counts.rejected),
    );
    if let Some(user) = &run.requested_by {
        line.push_str(&format!(", requested by {user}"));
    }
    line
}

/// Renders a run as text.
pub fn run_text(run: &Run) -> String {
    let mut text = format!(
        "run {} of job {}: {}\n  {} -> {}, scope {}, revision {}, {} of {} splits\n  {} source rows",
        run.run_id,
        run.job,
        run.state,
        run.source,
        run.target,
        run.scope.as_str(),
        run.job_revision,
        run.splits_done,
        run.splits_total,
        run.counts.source_rows,
    );
    if run.counts.orphaned > 0 {
        text.push_str(&format!(
            ", {} predictions without a source row",
            run.counts.orphaned
        ));
    }
    if let Some(reason) = &run.reason {
        text.push_str(&format!("\n  reason: {reason}"));
    }
    for version in &run.versions {
        let count =
            |map: &std::collections::BTreeMap<i32, u64>| map.get(version).copied().unwrap_or(0);
        let aliases: Vec<_> = run
            .aliases
            .iter()
            .filter(|(_, at)| *at == version)
            .map(|(alias, _)| alias.as_str())
            .collect();
        let aliases = match aliases.as_slice() {
            [] => String::new(),
            aliases => format!(" ({})", aliases.join(", ")),
        };
        text.push_str(&format!(
            "\n  version {version}{aliases}: {} scored, {} unchanged, {} rejected",
            count(&run.counts.scored),
            count(&run.counts.unchanged),
            count(&run.counts.rejected)
        ));
        text.push_str(&statistics_text(run.output_statistics.get(version)));
    }
    text
}

fn statistics_text(json: Option<&String>) -> String {
    let statistics: Value = json
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let mut text = String::new();
    for (column, found) in statistics.as_object().into_iter().flatten() {
        let number = |name: &str| found.get(name).and_then(Value::as_f64);
        if let (Some(min), Some(mean), Some(max)) = (number("min"), number("mean"), number("max")) {
            text.push_str(&format!(
                "\n    {column}: min {min:.4}, mean {mean:.4}, max {max:.4}"
            ));
            if let Some(median) = number("p50") {
                text.push_str(&format!(", median {median:.4}"));
            }
        } else if let Some(labels) = found.get("labels").and_then(Value::as_object) {
            let total = number("count").unwrap_or(0.0);
            let share = |(label, rows): (&String, &Value)| {
                let rows = rows.as_f64().unwrap_or(0.0);
                format!("{label} {:.1} %", 100.0 * rows / total)
            };
            let mut shares: Vec<_> = labels.iter().collect();
            shares.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.as_u64()));
            let shown: Vec<_> = shares.into_iter().take(5).map(share).collect();
            text.push_str(&format!("\n    {column}: {}", shown.join(", ")));
        }
    }
    text
}
