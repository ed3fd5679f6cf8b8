//! `helenus gate approve`.

use super::{super::model::ask, Context};
use crate::{control::gates, failure::Failure, output::Answer};

/// Approve a gate that passes: promote its challenger
///
/// Requests the promotion like `helenus model promote`, with the gate and the evaluation. The worker
/// checks the gate again before it moves the alias, and the alias's history names both.
///
/// Examples:
///
///     helenus gate approve tumour better --why "agreed on Monday"
///
/// JSON result: {"model", "alias", "version", "request": {"day", "id"}, "answer", "reason"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The gate's name
    name: String,
    /// Reason, stored in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Requests the promotion and returns its answer.
///
/// # Errors
/// Exit 5: no such gate; exit 4: the gate does not pass, or the promotion is refused.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let request = gates::approval(&store, &args.model, &args.name, args.why).await?;
    ask::ask(&store, context, request, args.wait).await
}
