//! `helenus trigger next`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Context, TriggerView, find, in_zone};
use crate::{
    domain::trigger::{When, decide::jitter},
    failure::Failure,
    output::{self, Answer},
};

/// Show the next ticks of triggers, in UTC and in their time zones
///
/// Triggers without a schedule are listed with what they wait for.
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
    /// Only triggers of this job
    job: Option<String>,
    /// Only this trigger
    #[arg(requires = "job")]
    name: Option<String>,
    /// Number of ticks of each trigger
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

/// Lists the next ticks, soonest first.
///
/// # Errors
/// Exit 5: no such trigger.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = find(&store, args.job.as_deref(), args.name.as_deref(), false).await?;
    let mut ticks: Vec<(DateTime<Utc>, DateTime<Utc>, &TriggerView)> = Vec::new();
    let mut waiting = Vec::new();
    for view in &found {
        let due = ticks_of(view, args.count.into());
        if due.is_empty() {
            waiting.push(view);
        }
        ticks.extend(due.into_iter().map(|(due, at)| (at, due, view)));
    }
    ticks.sort_by_key(|(at, ..)| *at);
    let json = json!({
        "ticks": ticks.iter().map(|(at, due, view)| json!({
            "job": view.row.job, "name": view.row.name, "due": due, "at": at,
            "local": in_zone(*at, view.zone()),
        })).collect::<Vec<_>>(),
        "waiting": waiting.iter().map(|view| json!({
            "job": view.row.job, "name": view.row.name, "for": view.waits_for(),
        })).collect::<Vec<_>>(),
    });
    let lines = ticks
        .iter()
        .map(|(at, _, view)| {
            [
                view.row.job.clone(),
                view.row.name.clone(),
                view.local_time(*at),
            ]
        })
        .chain(waiting.iter().map(|view| {
            [
                view.row.job.clone(),
                view.row.name.clone(),
                view.waits_for(),
            ]
        }));
    let text = match found.is_empty() {
        true => "no triggers; add one with `helenus trigger add`".to_owned(),
        false => output::table(["JOB", "TRIGGER", "NEXT"], lines.collect::<Vec<_>>()),
    };
    Ok(Answer::new(json, text))
}

/// Returns the next due times of a trigger, each with the time at which it fires.
fn ticks_of(view: &TriggerView, count: usize) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let (Some(trigger), Some(_)) = (&view.trigger, view.next()) else {
        return Vec::new();
    };
    let When::Scheduled(schedule) = &trigger.when else {
        return Vec::new();
    };
    let first = view.status.as_ref().and_then(|status| status.next_due);
    std::iter::successors(first, |due| schedule.next_after(*due))
        .take(count)
        .map(|due| (due, due + jitter(trigger, due)))
        .collect()
}
