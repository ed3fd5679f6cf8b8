//! `helenus trigger next`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Context, Told, time, told};
use crate::{
    domain::trigger::{When, decide::jitter},
    failure::Failure,
    output::{self, Answer},
};

/// Show the next ticks of triggers, in UTC and in their zones
///
/// Triggers without a clock are listed with what they wait for.
///
/// Examples:
///
///     helenus trigger next
///     helenus trigger next tumour nightly --count 10
///
/// JSON result: {"ticks": [{"job", "name", "due", "at" (with jitter), "local"}],
///   "waiting": [{"job", "name", "for"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only this job's
    job: Option<String>,
    /// Only this one
    #[arg(requires = "job")]
    name: Option<String>,
    /// Ticks of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

/// Lists them, the soonest first.
///
/// # Errors
/// Exit 5: no such trigger.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = told(&store, args.job.as_deref(), args.name.as_deref(), false).await?;
    let mut ticks: Vec<(DateTime<Utc>, DateTime<Utc>, &Told)> = Vec::new();
    let mut waiting = Vec::new();
    for told in &found {
        let due = ticks_of(told, args.count.into());
        if due.is_empty() {
            waiting.push(told);
        }
        ticks.extend(due.into_iter().map(|(due, at)| (at, due, told)));
    }
    ticks.sort_by_key(|(at, ..)| *at);
    let json = json!({
        "ticks": ticks.iter().map(|(at, due, told)| json!({
            "job": told.row.job, "name": told.row.name, "due": time(*due), "at": time(*at),
            "local": at.with_timezone(&told.zone()).to_rfc3339(),
        })).collect::<Vec<_>>(),
        "waiting": waiting.iter().map(|told| json!({
            "job": told.row.job, "name": told.row.name, "for": told.waits_for(),
        })).collect::<Vec<_>>(),
    });
    let lines = ticks
        .iter()
        .map(|(at, _, told)| {
            [
                told.row.job.clone(),
                told.row.name.clone(),
                told.spoken(*at),
            ]
        })
        .chain(waiting.iter().map(|told| {
            [
                told.row.job.clone(),
                told.row.name.clone(),
                told.waits_for(),
            ]
        }));
    let text = match found.is_empty() {
        true => "there are no triggers; `helenus trigger add` makes one".to_owned(),
        false => output::table(["JOB", "TRIGGER", "NEXT"], lines.collect::<Vec<_>>()),
    };
    Ok(Answer::new(json, text))
}

/// Due times and when they are served.
fn ticks_of(told: &Told, count: usize) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let (Some(trigger), Some(_)) = (&told.trigger, told.next()) else {
        return Vec::new();
    };
    let When::Scheduled(schedule) = &trigger.when else {
        return Vec::new();
    };
    let first = told.status.as_ref().and_then(|status| status.next_due);
    std::iter::successors(first, |due| schedule.next_after(*due))
        .take(count)
        .map(|due| (due, due + jitter(trigger, due)))
        .collect()
}
