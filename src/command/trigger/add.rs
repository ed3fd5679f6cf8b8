//! `helenus trigger add`.

use std::collections::BTreeSet;

use super::{Context, TriggerView, wait};
use crate::{
    domain::{
        problem::Problem,
        trigger::{Trigger, TriggerRow},
    },
    engine::jobs,
    failure::{Exit, Failure},
    output::Answer,
    process,
    store::Store,
};

/// Start runs of a job automatically
///
/// Use exactly one kind of condition: --cron, --every, --pending-rows with or without --oldest-wait
/// (or --oldest-wait alone), --after-job, --on-promotion or --on-alarm. Durations have a unit: 30s, 5m, 1h, 7d.
///
/// Examples:
///
///     helenus trigger add tumour nightly --cron "30 2 * * *" --time-zone Europe/Rome
///     helenus trigger add tumour often --every 5m --overlap skip --deadline 10m
///     helenus trigger add tumour fresh --pending-rows 1000 --oldest-wait 15m --use-hints
///     helenus trigger add triage chained --after-job tumour,history
///     helenus trigger add tumour promoted --on-promotion champion
///     helenus trigger add tumour shifted --on-alarm drift --scope all
///
/// JSON result: {"job", "name", "state", "problems": […], "fires", "next", "next_local", "next_due",
///   "queued_due", "waits_for", "last_due", "last_run", "last_outcome", "last_reason", "last_at",
///   "estimate"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The trigger's name, unique within the job
    name: String,
    /// Fire at these times: minute hour day month weekday, optionally with seconds in front
    #[arg(long, value_name = "PATTERN")]
    cron: Option<String>,
    /// Time zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Fire at this interval, counted from 1970
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// Fire when about this many rows are pending
    #[arg(long, value_name = "ROWS")]
    pending_rows: Option<i64>,
    /// Fire when rows have been pending for this long
    #[arg(long, value_name = "DURATION")]
    oldest_wait: Option<String>,
    /// Also read the table `changed_keys`
    #[arg(long)]
    use_hints: bool,
    /// Fire after each of these jobs has had a run that succeeded (comma-separated)
    #[arg(long, value_name = "JOBS")]
    after_job: Option<String>,
    /// Fire when this alias of the job's model moves
    #[arg(long, value_name = "ALIAS")]
    on_promotion: Option<String>,
    /// Fire when an alarm of the job opens: its kind, or kind/subject
    #[arg(long, value_name = "ALARM")]
    on_alarm: Option<String>,
    /// What to do while a run is open: skip, queue or cancel
    #[arg(long)]
    overlap: Option<String>,
    /// What to do with ticks missed while no worker ran: once, all or skip
    #[arg(long)]
    missed: Option<String>,
    /// Maximum number of missed ticks served with `--missed all`
    #[arg(long, value_name = "TICKS")]
    missed_limit: Option<i32>,
    /// Delay each tick by up to this time, spread evenly
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// Time after its due time at which an unfinished run counts as late
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// Rows to score: pending or all
    #[arg(long)]
    scope: Option<String>,
    /// Only these versions of the job (comma-separated)
    #[arg(long, value_delimiter = ',')]
    versions: Vec<i32>,
    /// Priority of the runs; higher priorities run first
    #[arg(long)]
    priority: Option<i32>,
    /// Maximum number of rows per second
    #[arg(long, value_name = "ROWS")]
    max_rows_per_s: Option<i32>,
    /// Reason, stored with the trigger
    #[arg(long)]
    note: Option<String>,
    /// Replace an existing trigger of this name
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
            on_alarm: self.on_alarm.clone(),
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

/// Writes the trigger's row and returns its answer.
///
/// # Errors
/// Exit 2: an invalid row, which is not written, or a refusal; exit 4: the name is taken; exit 5: no
/// such job.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let row = args.row();
    Trigger::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    if store.job_rows(&row.job).await?.is_empty() {
        return Err(jobs::unknown(&store, &row.job).await?);
    }
    let existing = store.trigger(&row.job, &row.name).await?;
    if existing.is_some_and(|existing| existing.removed != Some(true)) && !args.replace {
        return Err(Failure::new(
            Exit::Conflict,
            Problem::new(
                "trigger.exists",
                format!("job `{}` already has a trigger `{}`", row.job, row.name),
            )
            .help("use --replace to replace it"),
        ));
    }
    put(&store, context, &row, args.wait).await
}

/// Writes the row of a trigger, new or in place of another, and returns its answer.
///
/// # Errors
/// Exit 2: refused; exit 3: no answer in time, or Cassandra.
pub async fn put(
    store: &Store,
    context: &Context,
    row: &TriggerRow,
    wait: wait::Wait,
) -> Result<Answer, Failure> {
    store.put_trigger(row).await?;
    answer(wait::answered(store, context, (&row.job, &row.name), wait).await?)
}

/// Renders a trigger's state as an answer, and a refusal as a failure.
pub(super) fn answer(view: TriggerView) -> Result<Answer, Failure> {
    if view.state() == "invalid" {
        let problems = view
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
    let text = match view.next() {
        Some(next) => format!(
            "trigger `{}` of job `{}` is {}; it fires next at {}",
            view.row.name,
            view.row.job,
            view.state(),
            view.local_time(next)
        ),
        None => format!(
            "trigger `{}` of job `{}` is {}",
            view.row.name,
            view.row.job,
            view.state()
        ),
    };
    Ok(Answer::new(view.json(), text))
}
