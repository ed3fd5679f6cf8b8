//! `helenus gate approve`.

use super::{super::model::ask, Context, gate};
use crate::{
    domain::problem::Problem, failure::Failure, output::Answer,
    store::alias_requests::AliasRequest, worker::gates,
};

/// Approve what a gate found: promote its challenger
///
/// Asks for the promotion like `helenus model promote`, naming gate and evaluation; the worker judges
/// again before the alias moves, and the alias's history names both.
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
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Asks, gives the answer.
///
/// # Errors
/// Exit 5: no such gate; exit 4: it does not pass, or the promotion is refused.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let gate = gate(&store, &args.model, &args.name).await?;
    let judged = gates::judge(&store, gate, chrono::Utc::now()).await?;
    // Told at once, and nothing is asked for; the worker looks again.
    let Some((evidence, verdict)) = &judged.verdict else {
        let message = format!("gate `{}` has nothing to go by", args.name);
        let help = format!(
            "`{}` must point at a version, and `helenus evaluate` hold it against `{}`",
            judged.gate.challenger, judged.gate.alias
        );
        return Err(Failure::conflict(
            Problem::new("gate.unevaluated", message).help(help),
        ));
    };
    if !verdict.passes() {
        let message = format!("gate `{}` does not pass", args.name);
        return Err(Failure::conflict(
            Problem::new("gate.fails", message).help(verdict.reasons.join("; ")),
        ));
    }
    let request = AliasRequest {
        action: Some("promote".to_owned()),
        model: Some(args.model),
        alias: Some(judged.gate.alias.clone()),
        version: Some(evidence.version),
        expected_version: evidence.baseline,
        why: args.why,
        gate: Some(args.name),
        evaluation: Some(evidence.evaluation),
        ..AliasRequest::default()
    };
    ask::ask(&store, context, request, args.wait).await
}
