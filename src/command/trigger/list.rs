//! `helenus trigger list`.

use serde_json::{Value, json};

use super::{Context, Told, told};
use crate::{
    failure::Failure,
    output::{self, Answer},
};

/// List triggers: when each fires next, and what it last came to
///
/// Examples:
///
///     helenus trigger list
///     helenus trigger list tumour --all
///
/// JSON result: {"triggers": [{"job", "name", "state", "problems": [..], "fires", "next", "next_local",
///   "next_due", "queued_due", "waits_for", "last_due", "last_run", "last_outcome", "last_reason",
///   "last_at", "estimate"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only this job's
    job: Option<String>,
    /// Removed ones, too
    #[arg(long)]
    all: bool,
}

/// Lists them.
///
/// # Errors
/// Cassandra's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let found = told(&store, args.job.as_deref(), None, args.all).await?;
    let json: Value = found.iter().map(Told::json).collect();
    let lines = found.iter().map(|told| {
        let fires = told
            .trigger
            .as_ref()
            .map_or_else(String::new, |trigger| trigger.when.to_string());
        [
            told.row.job.clone(),
            told.row.name.clone(),
            told.state().to_owned(),
            fires,
            told.waits_for(),
            told.last(),
        ]
    });
    let text = match found.is_empty() {
        true => "there are no triggers; `helenus trigger add` makes one".to_owned(),
        false => output::table(
            ["JOB", "TRIGGER", "STATE", "FIRES", "NEXT", "LAST"],
            lines.collect::<Vec<_>>(),
        ),
    };
    Ok(Answer::new(json!({ "triggers": json }), text))
}
