//! `helenus trigger add`.

use std::collections::BTreeSet;

use super::{Context, Told, wait};
use crate::{
    domain::{
        problem::Problem,
        trigger::{Trigger, TriggerRow},
    },
    failure::{Exit, Failure},
    output::Answer,
    process,
    worker::jobs,
};

/// Let a job run by itself
///
/// Exactly one of --cron, --every, --pending-rows and/or --oldest-wait, --after-job and
/// --on-promotion says when. Durations are written 30s, 5m, 1h, 7d.
///
/// Examples:
///
///     helenus trigger add tumour nightly --cron "30 2 * * *" --time-zone Europe/Rome
///     helenus trigger add tumour often --every 5m --overlap skip --deadline 10m
///     helenus trigger add tumour fresh --pending-rows 1000 --oldest-wait 15m --use-hints
///     helenus trigger add triage chained --after-job tumour,history
///     helenus trigger add tumour promoted --on-promotion champion
///
/// JSON result: {"job", "name", "state", "problems": [..], "fires", "next", "next_local", "next_due",
///   "queued_due", "waits_for", "last_due", "last_run", "last_outcome", "last_reason", "last_at", "estimate"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// A name of its own among the job's triggers
    name: String,
    /// Minute hour day month weekday; or second in front of them
    #[arg(long, value_name = "PATTERN")]
    cron: Option<String>,
    /// Whose clock cron goes by [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// So often, counted from 1970
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// When about so many rows are pending
    #[arg(long, value_name = "ROWS")]
    pending_rows: Option<i64>,
    /// When rows have been pending for so long
    #[arg(long, value_name = "DURATION")]
    oldest_wait: Option<String>,
    /// Read `changed_keys`, too
    #[arg(long)]
    use_hints: bool,
    /// After each of these jobs has had a run that succeeded, commas between
    #[arg(long, value_name = "JOBS")]
    after_job: Option<String>,
    /// When this alias of the job's model moves
    #[arg(long, value_name = "ALIAS")]
    on_promotion: Option<String>,
    /// While a run is open: skip, queue or cancel
    #[arg(long)]
    overlap: Option<String>,
    /// Ticks that no scheduler saw: once, all or skip
    #[arg(long)]
    missed: Option<String>,
    /// Of `--missed all` so many at most
    #[arg(long, value_name = "TICKS")]
    missed_limit: Option<i32>,
    /// Serve each tick up to so much later
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// A run that takes longer, from its due time on, is late
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// pending or all
    #[arg(long)]
    scope: Option<String>,
    /// Only these of the job's versions
    #[arg(long, value_delimiter = ',')]
    versions: Vec<i32>,
    /// Higher ones first
    #[arg(long)]
    priority: Option<i32>,
    /// Limit on rows a second
    #[arg(long, value_name = "ROWS")]
    max_rows_per_s: Option<i32>,
    /// Why
    #[arg(long)]
    note: Option<String>,
    /// Take the place of a trigger of that name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    wait: wait::Wait,
}

impl Args {
    fn row(&self) -> TriggerRow {
        let versions: BTreeSet<i32> = self.versions.iter().copied().collect();
        TriggerRow {
            job: self.job.clone(),
            name: self.name.clone(),
            cron: self.cron.clone(),
            time_zone: self.time_zone.clone(),
            every: self.every.clone(),
            pending_rows: self.pending_rows,
            oldest_wait: self.oldest_wait.clone(),
            use_hints: self.use_hints.then_some(true),
            after_job: self.after_job.clone(),
            on_promotion: self.on_promotion.clone(),
            overlap: self.overlap.clone(),
            missed: self.missed.clone(),
            missed_limit: self.missed_limit,
            jitter: self.jitter.clone(),
            deadline: self.deadline.clone(),
            scope: self.scope.clone(),
            versions: (!versions.is_empty()).then_some(versions),
            priority: self.priority,
            max_rows_per_s: self.max_rows_per_s,
            paused: None,
            removed: None,
            created_by: Some(process::user()),
            note: self.note.clone(),
        }
    }
}

/// Writes the row, and tells its answer.
///
/// # Errors
/// Exit 2: the row makes no sense, and nothing was written; or it was refused. Exit 4: there is
/// one of that name. Exit 5: no such job.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let row = args.row();
    Trigger::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    if store.job_rows(&row.job).await?.is_empty() {
        return Err(jobs::unknown(&store, &row.job).await?);
    }
    let standing = store.trigger(&row.job, &row.name).await?;
    if standing.is_some_and(|standing| standing.removed != Some(true)) && !args.replace {
        return Err(Failure::new(
            Exit::Conflict,
            Problem::new(
                "trigger.exists",
                format!("job `{}` has a trigger `{}`", row.job, row.name),
            )
            .help("--replace puts this one in its place"),
        ));
    }
    store.put_trigger(&row).await?;
    let told = wait::answered(&store, context, (&row.job, &row.name), args.wait).await?;
    answer(told)
}

/// What stands, as an answer; a refusal as a failure.
pub fn answer(told: Told) -> Result<Answer, Failure> {
    if told.state() == "invalid" {
        let problems = told
            .status
            .as_ref()
            .map(|status| status.problems.clone())
            .unwrap_or_default();
        let problems = problems.iter().map(|line| match line.split_once(": ") {
            Some((code, rest)) => Problem::new(code, rest),
            None => Problem::new("trigger.invalid", line),
        });
        return Err(Failure::inputs(problems.collect()));
    }
    let text = match told.next() {
        Some(next) => format!(
            "trigger `{}` of job `{}` is {}; it fires next at {}",
            told.row.name,
            told.row.job,
            told.state(),
            told.spoken(next)
        ),
        None => format!(
            "trigger `{}` of job `{}` is {}",
            told.row.name,
            told.row.job,
            told.state()
        ),
    };
    Ok(Answer::new(told.json(), text))
}
