//! `helenus trigger …`.

pub mod add;
pub mod lifecycle;
mod list;
mod next;
mod show;
mod wait;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
// The names that `wait` uses.
use crate::{
    codec::utc,
    domain::{
        names::nearest,
        problem::Problem,
        trigger::{Trigger, TriggerRow, TriggerState, TriggerStatus, When, decide::jitter},
    },
    failure::Failure,
    output::Answer,
    store::Store,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Command {
    Add(Box<add::Args>),
    List(list::Args),
    Show(show::Args),
    Next(next::Args),
    Pause(lifecycle::PauseArgs),
    Resume(lifecycle::ResumeArgs),
    Remove(lifecycle::RemoveArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Command::Add(args) => add::run(*args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Next(args) => next::run(args, context).await,
        Command::Pause(args) => lifecycle::pause(args.which, context, true).await,
        Command::Resume(args) => lifecycle::pause(args.which, context, false).await,
        Command::Remove(args) => lifecycle::remove(args.which, context).await,
    }
}

/// Arguments that name one trigger.
#[derive(Debug, clap::Args)]
struct Which {
    /// The job
    job: String,
    /// The trigger's name
    name: String,
    #[command(flatten)]
    wait: wait::Wait,
}

/// A trigger's row with its status.
struct TriggerView {
    row: TriggerRow,
    status: Option<TriggerStatus>,
    /// The parsed row, whatever its status; `None` if it is invalid.
    trigger: Option<Trigger>,
}

/// Returns triggers sorted by job and name, filtered by either. `removed` includes removed triggers.
///
/// # Errors
/// Exit 5: both job and name are given, and there is no such trigger.
async fn find(
    store: &Store,
    job: Option<&str>,
    name: Option<&str>,
    removed: bool,
) -> Result<Vec<TriggerView>, Failure> {
    let mut rows = store.triggers().await?;
    rows.retain(|row| removed || row.removed != Some(true));
    rows.sort_by(|a, b| (&a.job, &a.name).cmp(&(&b.job, &b.name)));
    let statuses = store.trigger_statuses().await?;
    let matches = |row: &&TriggerRow| {
        job.is_none_or(|job| job == row.job) && name.is_none_or(|name| name == row.name)
    };
    let found: Vec<TriggerView> = rows
        .iter()
        .filter(matches)
        .map(|row| TriggerView {
            status: statuses
                .iter()
                .find(|status| status.job == row.job && status.name == row.name)
                .cloned(),
            trigger: Trigger::read(row).ok(),
            row: row.clone(),
        })
        .collect();
    match (found.is_empty(), job, name) {
        (true, Some(job), Some(name)) => Err(unknown(&rows, job, name)),
        _ => Ok(found),
    }
}

fn unknown(rows: &[TriggerRow], job: &str, name: &str) -> Failure {
    let names = rows
        .iter()
        .filter(|row| row.job == job)
        .map(|row| row.name.as_str());
    let help = nearest(name, names).map_or_else(
        || "list the triggers with `helenus trigger list`".to_owned(),
        |near| format!("check the name: did you mean `{near}`?"),
    );
    Failure::not_found(
        Problem::new(
            "trigger.unknown",
            format!("job `{job}` has no trigger `{name}`"),
        )
        .help(help),
    )
}

impl TriggerView {
    fn state(&self) -> &'static str {
        match &self.status {
            Some(status) if status.row_hash == self.row.hash() => status.state.as_str(),
            _ => "unanswered",
        }
    }

    fn is_ready(&self) -> bool {
        self.state() == TriggerState::Ready.as_str()
    }

    /// Returns when it fires next, if that is a time.
    fn next(&self) -> Option<DateTime<Utc>> {
        let status = self.status.as_ref().filter(|_| self.is_ready())?;
        let due = status.next_due?;
        Some(due + jitter(self.trigger.as_ref()?, due))
    }

    /// Describes when it fires next or what it waits for.
    fn waits_for(&self) -> String {
        let Some(status) = self.status.as_ref().filter(|_| self.is_ready()) else {
            return self.status.as_ref().map_or_else(
                || "a scheduler's answer".to_owned(),
                |status| match status.problems.first() {
                    Some(problem) => problem.clone(),
                    None => "nothing".to_owned(),
                },
            );
        };
        if let Some(due) = status.queued_due {
            return format!("the run due at {} to be planned", utc::to_second(due));
        }
        match (
            self.trigger.as_ref().map(|trigger| &trigger.when),
            self.next(),
        ) {
            (_, Some(next)) => utc::to_second(next),
            (Some(When::Pending { .. }), None) => match &status.estimate {
                Some(estimate) if estimate.exact => {
                    format!("{} of {} rows are pending", estimate.pending, estimate.rows)
                }
                Some(estimate) => format!(
                    "about {} ({} to {}) of {} rows are pending",
                    estimate.pending, estimate.low, estimate.high, estimate.rows
                ),
                None => "its first estimate".to_owned(),
            },
            (Some(when), None) => format!("fires {when}"),
            (None, None) => String::new(),
        }
    }

    /// Describes its last outcome.
    fn last_outcome(&self) -> String {
        let Some(status) = &self.status else {
            return String::new();
        };
        match (&status.last_outcome, status.last_at) {
            (Some(outcome), Some(at)) => {
                let reason = status
                    .last_reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!(": {reason}"));
                format!("{outcome} at {}{reason}", utc::to_second(at))
            }
            _ => "never fired".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let status = self.status.clone().unwrap_or_default();
        let zone = self.zone();
        json!({
            "job": self.row.job,
            "name": self.row.name,
            "state": self.state(),
            "problems": status.problems,
            "fires": self.trigger.as_ref().map(|trigger| trigger.when.to_string()),
            "next": self.next(),
            "next_local": self.next().map(|next| in_zone(next, zone)),
            "next_due": status.next_due,
            "queued_due": status.queued_due,
            "waits_for": self.waits_for(),
            "last_due": status.last_due,
            "last_run": status.last_run.map(|run| run.to_string()),
            "last_outcome": status.last_outcome,
            "last_reason": status.last_reason,
            "last_at": status.last_at,
            "estimate": status.estimate,
        })
    }

    fn zone(&self) -> chrono_tz::Tz {
        match self.trigger.as_ref().map(|trigger| &trigger.when) {
            Some(When::Scheduled(schedule)) => schedule.zone(),
            _ => chrono_tz::Tz::UTC,
        }
    }

    /// Renders a time in UTC and, if different, in the trigger's time zone.
    fn local_time(&self, at: DateTime<Utc>) -> String {
        match self.zone() {
            chrono_tz::Tz::UTC => utc::to_second(at),
            zone => format!(
                "{} ({} {zone})",
                utc::to_second(at),
                at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M:%S")
            ),
        }
    }
}

/// Renders a time in a time zone (RFC 3339).
fn in_zone(at: DateTime<Utc>, zone: chrono_tz::Tz) -> String {
    at.with_timezone(&zone)
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
