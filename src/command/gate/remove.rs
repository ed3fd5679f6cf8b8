//! `helenus gate remove`.

use serde_json::json;

use super::{Context, unknown};
use crate::{failure::Failure, output::Answer};

/// Remove a gate
///
/// Its row stays, marked as removed, and so do its verdicts: the history of aliases names them. A gate
/// that acts does nothing any more, and an approval that names it is refused. `helenus gate add` with
/// the same name makes it anew.
///
/// Example:
///
///     helenus gate remove tumour better
///
/// JSON result: {"model", "name", "removed"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The gate's name
    name: String,
}

/// Writes the wish.
///
/// # Errors
/// Exit 5: no such gate.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    // One that makes no sense can be removed, too.
    let row = store.gate(&args.model, &args.name).await?;
    if row.is_none_or(|row| row.removed == Some(true)) {
        return Err(unknown(&args.model, &args.name));
    }
    store.remove_gate(&args.model, &args.name).await?;
    let text = format!("gate `{}` of model `{}` is removed", args.name, args.model);
    let result = json!({"model": args.model, "name": args.name, "removed": true});
    Ok(Answer::new(result, text))
}
