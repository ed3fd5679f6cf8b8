//! `helenus alarm list`.

use chrono::Utc;
use serde_json::json;

use super::{Context, as_json};
use crate::{
    failure::Failure,
    inspect::{
        alarms::{self, KnownAlarm},
        status::ago,
    },
    output::{self, Answer},
};

/// List alarms
///
/// An alarm is open as long as its condition holds. The worker that leads opens and closes alarms;
/// `helenus alarm ack` only says that you know of one.
///
/// Examples:
///
///     helenus alarm list
///     helenus alarm list tumour --all
///
/// JSON result: {"alarms": [as `helenus alarm ack` …]}, open ones the oldest first; with --all the
///   newest first
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only alarms of this job
    job: Option<String>,
    /// Closed alarms, too
    #[arg(long)]
    all: bool,
    /// With --all: maximum number of alarms of each job
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=10_000), requires = "all")]
    limit: i32,
}

/// Lists the alarms.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let job = args.job.as_deref();
    let found = match args.all {
        true => alarms::newest(&store, job, args.limit).await?,
        false => alarms::open(&store, job).await?,
    };
    let text = match found.is_empty() {
        true => "no alarms".to_owned(),
        false => table(&found),
    };
    let result: Vec<_> = found.iter().map(as_json).collect();
    Ok(Answer::new(json!({"alarms": result}), text))
}

fn table(found: &[KnownAlarm]) -> String {
    let header = ["ALARM", "JOB", "KIND", "SINCE", "STATE", "WHAT"];
    output::table(header, found.iter().map(row))
}

pub(super) fn row(known: &KnownAlarm) -> [String; 6] {
    let alarm = &known.alarm;
    let since = alarm.since.map(|at| format!("{} ago", ago(at, Utc::now())));
    let state = match (alarm.is_open(), &known.ack) {
        (false, _) => "closed",
        (true, Some(_)) => "acknowledged",
        (true, None) => "open",
    };
    [
        alarm.id.to_string(),
        alarm.job.clone(),
        alarm.kind.clone(),
        since.unwrap_or_else(|| "-".to_owned()),
        state.to_owned(),
        alarm.what.clone(),
    ]
}
