//! `helenus gate show`.

use serde_json::json;

use super::{Context, text};
use crate::{
    control::gates::{self, GateDetail},
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
};

/// Show a gate, its verdict, and the reasons
///
/// Example:
///
///     helenus gate show tumour better
///
/// Exit code 1: the gate does not pass.
///
/// JSON result: {"model", "name", "alias", "points_at", "challenger", "challenger_version", "metric",
///   "labels", "min_improvement", "confidence", "min_labelled_rows", "segment_margin",
///   "full_coverage", "experiment", "says": "passes" | "fails" | "unevaluated" | "unchallenged",
///   "evidence": null or {"evaluation", "evaluated_at", "version", "baseline", "rows", "improvement",
///   "low", "reasons"}, "acts": null or {"cooldown_seconds", "demotes", "next": text or null}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The gate's name
    name: String,
}

/// Shows the gate and its verdict.
///
/// # Errors
/// Exit 5: no such gate.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let gate = gates::find(&store, &args.model, &args.name).await?;
    let judged = gates::judge(&store, gate, chrono::Utc::now()).await?;
    let step = gates::step(&store, &judged).await?;
    let mut answer = Answer::new(json!(GateDetail::new(&judged, &step)), text(&judged, &step));
    let passes = judged.verdict.iter().any(|(_, verdict)| verdict.passes());
    if !passes {
        let message = format!("gate `{}` does not pass", args.name);
        answer.failed = Some(Failure::no(Problem::new("gate.fails", message)));
    }
    Ok(answer)
}
