//! `helenus gate list`.

use serde_json::json;

use super::Context;
use crate::{
    control::gates::{self, GateDetail},
    failure::Failure,
    output::{self, Answer},
};

/// List gates and their verdicts
///
/// Examples:
///
///     helenus gate list
///     helenus gate list tumour
///
/// JSON result: {"gates": [as `helenus gate show` …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only gates of this model
    model: Option<String>,
}

/// Lists the gates.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let judged = gates::judge_all(&store, args.model.as_deref()).await?;
    let rows = judged.iter().map(|judged| {
        let version = |version: Option<i32>| {
            version.map_or_else(|| "-".to_owned(), |version| version.to_string())
        };
        [
            judged.gate.model.clone(),
            judged.gate.name.clone(),
            judged.gate.metric.clone(),
            format!("{} ({})", judged.gate.alias, version(judged.points_at)),
            format!(
                "{} ({})",
                judged.gate.challenger,
                version(judged.challenger)
            ),
            judged.says().to_owned(),
        ]
    });
    let header = ["MODEL", "GATE", "METRIC", "ALIAS", "CHALLENGER", "VERDICT"];
    let text = match judged.is_empty() {
        true => "no gates; add one with `helenus gate add MODEL NAME`".to_owned(),
        false => output::table(header, rows),
    };
    let mut details = Vec::new();
    for judged in &judged {
        details.push(GateDetail::new(judged, &gates::step(&store, judged).await?));
    }
    Ok(Answer::new(json!({"gates": details}), text))
}
