//! `helenus retraining pause`, `resume` and `remove`.

use serde_json::json;

use super::{Context, find};
use crate::{failure::Failure, output::Answer, store::Store};

/// Pause a retraining: it starts by hand only
///
/// A training under way goes on. Times that pass meanwhile are not made up for.
///
/// Example:
///
///     helenus retraining pause tumour weekly
///
/// JSON result: {"model", "name", "paused": true}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Pause {
    /// The model
    model: String,
    /// The retraining's name
    name: String,
}

/// Resume a paused retraining
///
/// Example:
///
///     helenus retraining resume tumour weekly
///
/// JSON result: {"model", "name", "paused": false}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Resume {
    /// The model
    model: String,
    /// The retraining's name
    name: String,
}

/// Remove a retraining; a request under way fails
///
/// Example:
///
///     helenus retraining remove tumour weekly
///
/// JSON result: {"model", "name", "removed": true}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// The model
    model: String,
    /// The retraining's name
    name: String,
}

/// Pauses.
///
/// # Errors
/// Exit 5: no such retraining.
pub async fn pause(args: Pause, context: &Context) -> Result<Answer, Failure> {
    set_paused(&context.store().await?, &args.model, &args.name, true).await
}

/// Resumes.
///
/// # Errors
/// Exit 5: no such retraining.
pub async fn resume(args: Resume, context: &Context) -> Result<Answer, Failure> {
    set_paused(&context.store().await?, &args.model, &args.name, false).await
}

async fn set_paused(
    store: &Store,
    model: &str,
    name: &str,
    paused: bool,
) -> Result<Answer, Failure> {
    find(store, model, name).await?;
    store.pause_retraining(model, name, paused).await?;
    let state = if paused { "paused" } else { "resumed" };
    Ok(Answer::new(
        json!({"model": model, "name": name, "paused": paused}),
        format!("retraining `{name}` of model `{model}` is {state}"),
    ))
}

/// Removes.
///
/// # Errors
/// Exit 5: no such retraining.
pub async fn remove(args: Remove, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let (model, name) = (&args.model, &args.name);
    find(&store, model, name).await?;
    store.remove_retraining(model, name).await?;
    Ok(Answer::new(
        json!({"model": model, "name": name, "removed": true}),
        format!("retraining `{name}` of model `{model}` is removed"),
    ))
}
