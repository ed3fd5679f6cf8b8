//! `helenus trigger list`.

use serde_json::{Value, json};

use super::{Context, TriggerView, find};
use crate::{
    failure::Failure,
    output::{self, Answer},
};

/// List triggers with their next time and last outcome
///
/// Examples:
///
///     helenus trigger list
///     helenus trigger list tumour --all
///
/// JSON result: {"triggers": [{"job", "name", "state", "problems": […], "fires", "next", "next_local",
///   "next_due", "queued_due", "waits_for", "last_due", "last_run", "last_outcome", "last_reason",
///   "last_at", "estimate"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only triggers of this job
    job: Option<String>,
    /// Include removed triggers
    #[arg(long)]
    all: bool,
}

/// Lists the triggers.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = find(&store, args.job.as_deref(), None, args.all).await?;
    let json: Value = found.iter().map(TriggerView::json).collect();
    let lines = found.iter().map(|view| {
        let fires = view
            .trigger
            .as_ref()
            .map_or_else(String::new, |trigger| trigger.when.to_string());
        [
            view.row.job.clone(),
            view.row.name.clone(),
            view.state().to_owned(),
            fires,
            view.waits_for(),
            view.last_outcome(),
        ]
    });
    let text = match found.is_empty() {
        true => "no triggers; add one with `helenus trigger add`".to_owned(),
        false => output::table(
            ["JOB", "TRIGGER", "STATE", "FIRES", "NEXT", "LAST"],
            lines.collect::<Vec<_>>(),
        ),
    };
    Ok(Answer::new(json!({ "triggers": json }), text))
}
