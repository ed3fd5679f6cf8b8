//! `helenus gate remove`.

use serde_json::json;

use super::Context;
use crate::{control::gates, failure::Failure, output::Answer};

/// Remove a gate
///
/// Its row stays, marked as removed, and so do its verdicts, because the history of aliases names
/// them. A removed gate no longer acts, and an approval that names it is refused. `helenus gate add`
/// with the same name adds it again.
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

/// Marks the gate as removed.
///
/// # Errors
/// Exit 5: no such gate.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    // The row is not parsed: an invalid gate can be removed, too.
    let row = store.gate(&args.model, &args.name).await?;
    if row.is_none_or(|row| row.removed == Some(true)) {
        return Err(gates::unknown(&args.model, &args.name));
    }
    store.remove_gate(&args.model, &args.name).await?;
    let text = format!("gate `{}` of model `{}` is removed", args.name, args.model);
    let result = json!({"model": args.model, "name": args.name, "removed": true});
    Ok(Answer::new(result, text))
}
