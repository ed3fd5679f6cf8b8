//! `helenus alarm ack`.

use uuid::Uuid;

use super::{Context, as_json};
use crate::{failure::Failure, output::Answer, process};

/// Acknowledge an alarm: say that you know of it
///
/// It stays open until its condition is gone; `helenus status` no longer warns about it. The row is
/// in `alarm_acks`.
///
/// Example:
///
///     helenus alarm ack 4e1e5305-c64f-11f0-8000-0123456789ab --note "the lab is on it"
///
/// JSON result: {"id", "job", "kind", "subject", "what", "evidence": {…}, "since", "closed_at",
///   "runs_seen", "last_run", "acknowledged": {"by", "at", "note"}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The alarm's id
    id: Uuid,
    /// A note, stored with the acknowledgement
    #[arg(long)]
    note: Option<String>,
}

/// Writes the row.
///
/// # Errors
/// Exit 5: no such alarm; exit 3: no permission.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let job = super::find(&store, args.id).await?.alarm.job;
    store
        .acknowledge_alarm(&job, args.id, &process::user(), args.note.as_deref())
        .await?;
    let known = super::find(&store, args.id).await?;
    let text = format!("alarm {} of job `{job}` is acknowledged", args.id);
    Ok(Answer::new(as_json(&known), text))
}
