//! `helenus retraining start`.

use serde_json::json;

use super::{Context, find};
use crate::{failure::Failure, output::Answer, process};

/// Ask for a training now
///
/// A training that is under way goes on; the start is served after it. Without a worker and a trainer
/// nothing happens.
///
/// Example:
///
///     helenus retraining start tumour weekly
///
/// JSON result: {"model", "name", "start"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The retraining's name
    name: String,
}

/// Writes the start.
///
/// # Errors
/// Exit 5: no such retraining.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let (model, name) = (&args.model, &args.name);
    find(&store, model, name).await?;
    let start = process::timeuuid();
    store.start_retraining(model, name, start).await?;
    let text =
        format!("asked for a training; follow it with `helenus retraining show {model} {name}`");
    let result = json!({"model": model, "name": name, "start": start});
    Ok(Answer::new(result, text))
}
