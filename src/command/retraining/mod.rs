//! `helenus retraining …`.

mod add;
mod lifecycle;
mod list;
mod show;
mod start;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Context;
use crate::{
    domain::{
        problem::Problem,
        retraining::{
            RetrainingRow,
            state::{RetrainingRequest, Training},
        },
    },
    failure::Failure,
    output::Answer,
    store::{Store, retraining::requests::RetrainingStatus},
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
    Start(start::Args),
    Pause(lifecycle::Pause),
    Resume(lifecycle::Resume),
    Remove(lifecycle::Remove),
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
        Command::Start(args) => start::run(args, context).await,
        Command::Pause(args) => lifecycle::pause(args, context).await,
        Command::Resume(args) => lifecycle::resume(args, context).await,
        Command::Remove(args) => lifecycle::remove(args, context).await,
    }
}

async fn find(store: &Store, model: &str, name: &str) -> Result<RetrainingRow, Failure> {
    let row = store.retraining(model, name).await?;
    row.filter(|row| row.removed != Some(true)).ok_or_else(|| {
        let message = format!("model `{model}` has no retraining `{name}`");
        Failure::not_found(
            Problem::new("retraining.unknown", message)
                .help("list the retrainings with `helenus retraining list`"),
        )
    })
}

/// A request and what a trainer did about it.
type Known = (RetrainingRequest, Option<Training>);

/// Returns the newest requests with their trainings.
async fn requests(
    store: &Store,
    model: &str,
    name: &str,
    limit: i32,
) -> Result<Vec<Known>, Failure> {
    let mut known = Vec::new();
    for request in store.retraining_requests(model, name, limit).await? {
        let training = store.training(model, name, request.id).await?;
        known.push((request, training));
    }
    Ok(known)
}

fn as_json(row: &RetrainingRow, status: &RetrainingStatus, known: &[Known]) -> Value {
    json!({
        "model": row.model,
        "name": row.name,
        "job": row.job,
        "trainer": row.trainer,
        "labels": row.labels,
        "label_time": row.label_time,
        "cron": row.cron,
        "time_zone": row.time_zone,
        "on_alarm": row.on_alarm,
        "labelled_rows": row.labelled_rows,
        "window": row.window,
        "gate": row.gate,
        "challenger": row.challenger,
        "paused": row.paused == Some(true),
        "problems": status.problems,
        "next_due": status.next_due,
        "requests": known.iter().map(request_json).collect::<Value>(),
    })
}

fn request_json((request, training): &Known) -> Value {
    json!({
        "id": request.id,
        "asked_at": request.asked_at,
        "cause": request.cause,
        "state": request.state.as_str(),
        "reason": request.reason,
        "version": request.version,
        "run_id": request.run_id,
        "evaluation": request.evaluation,
        "training": training.as_ref().map(|training| json!({
            "state": training.state.as_str(),
            "step": training.step,
            "attempts": training.epoch,
            "reason": training.reason,
            "log": training.log,
            "rows": training.rows,
            "held_out_rows": training.held_out_rows,
            "data_sha256": training.data_sha256.as_ref().map(hex::encode),
            "command_sha256": training.command_sha256.as_ref().map(hex::encode),
            "metrics": training.metrics,
            "started_at": training.started_at,
            "finished_at": training.finished_at,
        })),
    })
}

/// Describes when a retraining is due.
fn when(row: &RetrainingRow) -> String {
    let mut parts = Vec::new();
    parts.extend(row.cron.as_ref().map(|cron| format!("cron {cron}")));
    parts.extend(row.on_alarm.as_ref().map(|alarm| format!("alarm {alarm}")));
    parts.extend(
        row.labelled_rows
            .map(|rows| format!("{rows} labelled rows")),
    );
    match (row.paused, parts.is_empty()) {
        (Some(true), _) => "paused".to_owned(),
        (_, true) => "by hand".to_owned(),
        _ => parts.join(", "),
    }
}
