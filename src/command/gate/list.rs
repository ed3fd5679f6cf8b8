//! `helenus gate list`.

use serde_json::json;

use super::{Context, as_json, word};
use crate::{
    failure::Failure,
    output::{self, Answer},
    worker::gates,
};

/// List gates and what they say
///
/// Examples:
///
///     helenus gate list
///     helenus gate list tumour
///
/// JSON result: {"gates": [as of `helenus gate show` …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only this model's
    model: Option<String>,
}

/// Lists.
///
/// # Errors
/// Cassandra's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let judged = gates::look(&store, args.model.as_deref()).await?;
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
            word(judged).to_owned(),
        ]
    });
    let header = ["MODEL", "GATE", "METRIC", "ALIAS", "CHALLENGER", "SAYS"];
    let text = match judged.is_empty() {
        true => "no gates yet: `helenus gate add MODEL NAME`".to_owned(),
        false => output::table(header, rows),
    };
    let mut told = Vec::new();
    for judged in &judged {
        told.push(as_json(judged, &gates::step(&store, judged).await?));
    }
    Ok(Answer::new(json!({"gates": told}), text))
}
