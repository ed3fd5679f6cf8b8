//! `helenus alarm …`.

mod ack;
mod list;
mod show;

use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    inspect::alarms::{self, KnownAlarm},
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
    List(list::Args),
    Show(show::Args),
    Ack(ack::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Ack(args) => ack::run(args, context).await,
    }
}

async fn find(store: &Store, id: Uuid) -> Result<KnownAlarm, Failure> {
    alarms::find(store, id).await?.ok_or_else(|| {
        let problem = Problem::new("alarm.unknown", format!("there is no alarm {id}"));
        Failure::not_found(problem.help("list the alarms with `helenus alarm list --all`"))
    })
}

/// Returns an alarm's row of a table: id, job, kind, age, state, what.
pub fn row(known: &KnownAlarm) -> [String; 6] {
    list::row(known)
}

/// Returns an alarm as JSON.
pub fn as_json(known: &KnownAlarm) -> Value {
    let alarm = &known.alarm;
    json!({
        "id": alarm.id,
        "job": alarm.job,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "what": alarm.what,
        "evidence": alarm.evidence,
        "since": alarm.since,
        "closed_at": alarm.closed_at,
        "runs_seen": alarm.seen,
        "last_run": alarm.last_run,
        "acknowledged": known.ack.as_ref().map(|ack| json!({
            "by": ack.acknowledged_by,
            "at": ack.acknowledged_at,
            "note": ack.note,
        })),
    })
}
