//! `helenus run`: what runs there were, and ending them.

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Context,
    follow::{self, Answering},
    model::ask::Wait,
};
use crate::{
    domain::{
        problem::Problem,
        run::{Run, RunState},
    },
    failure::Failure,
    output::{self, Answer},
    store::{Store, run_requests::RunRequest},
    worker::{requests, run::close},
};

/// Look at runs, list what they rejected, cancel one
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List a job's runs, newest first
    ///
    /// Example:
    ///
    ///     helenus run list tumour --limit 5
    ///
    /// JSON result: [as of `run show` …]
    #[command(verbatim_doc_comment)]
    List {
        /// The job
        job: String,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..))]
        limit: i32,
    },
    /// Show one run: what it read, wrote, and found
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
        /// The run's id; the newest run if left out
        run: Option<Uuid>,
    },
    /// List rows that a run could not score, with their reasons
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
        /// The run's id; the newest run if left out
        run: Option<Uuid>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
        limit: i32,
    },
    /// Ask a run to stop; it is cancelled once nobody works on it
    ///
    /// What it has written stays, and the next run goes on from there.
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

impl Command {
    /// The command's words, as the JSON object names them.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "run list",
            Self::Show { .. } => "run show",
            Self::Rejected { .. } => "run rejected",
            Self::Cancel { .. } => "run cancel",
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Exit 5 for a run that is not there; 3 for Cassandra's.
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

/// The run with that id, or the newest one.
pub async fn find(store: &Store, job: &str, run: Option<Uuid>) -> Result<Run, Failure> {
    let found = match run {
        Some(id) => store.run(job, id).await?,
        None => store.runs(job, 1).await?.into_iter().next(),
    };
    found.ok_or_else(|| no_run(job))
}

fn no_run(job: &str) -> Failure {
    Failure::not_found(
        Problem::new("run.unknown", format!("job `{job}` has no such run")).help(format!(
            "`helenus run list {job}` lists them, `helenus score {job}` makes one"
        )),
    )
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
            "run {} lists no rejected rows; {total} stand as rejected",
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
            "\n{} of {total} that stand as rejected: those that an earlier run rejected are listed there, and lists are capped",
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
    let id = super::new_id();
    let request = RunRequest {
        day: requests::day_of(id),
        id,
        action: Some("cancel".to_owned()),
        job: Some(job.clone()),
        target_run: Some(run),
        requested_by: Some(super::who()),
        ..RunRequest::default()
    };
    store.insert_run_request(&request).await?;
    let (answer, refusal, here) = match follow::answered(store, context, &request, wait).await? {
        Answering::Here(answered) => (answered.answer, answered.refusal, true),
        Answering::Worker(answer) => (answer, None, false),
    };
    if answer.answer == "refused" {
        let reason = answer.reason.unwrap_or_default();
        let ended = Failure::conflict(Problem::new("run.not_cancelled", reason));
        return Err(refusal.unwrap_or(ended));
    }
    // Where nobody works on it, nobody would end it either.
    let ended = match store.run(&job, run).await? {
        Some(run) if here && !run.state.is_terminal() => close::cancel_if_idle(store, &run).await?,
        other => other.is_some_and(|run| run.state == RunState::Cancelled),
    };
    let text = format!(
        "run {run} {}",
        if ended {
            "is cancelled"
        } else {
            "is asked to stop"
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

/// A run's row as JSON.
pub fn run_json(run: &Run) -> Value {
    let statistics: serde_json::Map<String, Value> = run
        .output_statistics
        .iter()
        .map(|(version, json)| {
            (
                version.to_string(),
                serde_json::from_str(json).unwrap_or_default(),
            )
        })
        .collect();
    let time = |at: Option<chrono::DateTime<Utc>>| at.map(|at| at.to_rfc3339());
    json!({
        "job": run.job,
        "run_id": run.run_id.to_string(),
        "state": run.state.as_str(),
        "reason": run.reason,
        "job_revision": run.job_revision,
        "versions": run.versions,
        "aliases": run.aliases,
        "model_sha256": run.model_sha256.iter().map(|(version, sha)| (version.to_string(), hex::encode(sha))).collect::<std::collections::BTreeMap<_, _>>(),
        "scope": run.scope.as_str(),
        "source": run.source,
        "target": run.target,
        "trigger": run.trigger,
        "request_id": run.request_id.map(|id| id.to_string()),
        "requested_by": run.requested_by,
        "note": run.note,
        "cancel_requested": run.cancel_requested,
        "priority": run.priority,
        "late": run.late,
        "due_at": run.due_at.to_rfc3339(),
        "deadline": time(run.deadline),
        "started_at": time(run.started_at),
        "finished_at": time(run.finished_at),
        "run_base": run.run_base,
        "current_version": run.current.map(|current| current.version),
        "current_copied": run.current.map(|current| current.copies),
        "splits_total": run.splits_total,
        "splits_done": run.splits_done,
        "source_rows": run.counts.source_rows,
        "orphaned": run.counts.orphaned,
        "scored": run.counts.scored,
        "unchanged": run.counts.unchanged,
        "rejected": run.counts.rejected,
        "output_statistics": statistics,
        "warnings": run.warnings,
        "helenus_version": run.helenus_version,
        "runtime_version": run.runtime_version,
    })
}

/// A run in one line.
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
    if let Some(who) = &run.requested_by {
        line.push_str(&format!(", asked for by {who}"));
    }
    line
}

/// A run for people.
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
        let of =
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
            of(&run.counts.scored),
            of(&run.counts.unchanged),
            of(&run.counts.rejected)
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
