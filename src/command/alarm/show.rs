//! `helenus alarm show`.

use serde_json::json;
use uuid::Uuid;

use super::{Context, as_json};
use crate::{
    domain::alarm::delivery::Delivery, failure::Failure, inspect::alarms::KnownAlarm,
    output::Answer,
};

/// Show an alarm, its evidence, and where it was sent
///
/// Example:
///
///     helenus alarm show 4e1e5305-c64f-11f0-8000-0123456789ab
///
/// JSON result: as `helenus alarm ack`, with "deliveries": [{"event": "opened" | "closed", "sink":
///   "log" | "webhook" | "command", "attempts", "delivered_at", "error"} …]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The alarm's id
    id: Uuid,
}

/// Shows the alarm.
///
/// # Errors
/// Exit 5: no such alarm.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let known = super::find(&store, args.id).await?;
    let deliveries = store.deliveries_of(args.id).await?;
    let mut result = as_json(&known);
    let shown = deliveries.iter().map(|delivery| {
        json!({
            "event": delivery.event.as_str(),
            "sink": delivery.sink,
            "attempts": delivery.attempts,
            "delivered_at": delivery.delivered_at,
            "error": delivery.error,
        })
    });
    result["deliveries"] = shown.collect();
    Ok(Answer::new(result, text(&known, &deliveries)))
}

fn text(known: &KnownAlarm, deliveries: &[Delivery]) -> String {
    let alarm = &known.alarm;
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "-".to_owned(), |at| at.format("%FT%TZ").to_string())
    };
    let mut text = format!(
        "alarm {} of job `{}`: {}\n  {}\n  since {}",
        alarm.id,
        alarm.job,
        alarm.kind,
        alarm.what,
        time(alarm.since)
    );
    if alarm.seen > 1 {
        text.push_str(&format!(", in {} runs", alarm.seen));
    }
    match alarm.closed_at {
        Some(at) => text.push_str(&format!(", closed {}\n", time(Some(at)))),
        None => text.push_str(", open\n"),
    }
    for (name, value) in &alarm.evidence {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    if let Some(ack) = &known.ack {
        let by = ack.acknowledged_by.as_deref().unwrap_or("unknown");
        let note = ack.note.as_ref().map(|note| format!(": {note}"));
        text.push_str(&format!(
            "  acknowledged by {by}, {}{}\n",
            time(ack.acknowledged_at),
            note.unwrap_or_default()
        ));
    }
    for delivery in deliveries {
        let outcome = match (&delivery.delivered_at, &delivery.error) {
            (Some(at), _) => format!("delivered {}", time(Some(*at))),
            (None, Some(error)) => format!("{} attempts: {error}", delivery.attempts),
            (None, None) => "waits".to_owned(),
        };
        let event = delivery.event.as_str();
        text.push_str(&format!("  {event} to {}: {outcome}\n", delivery.sink));
    }
    text
}
