//! `helenus experiment list`.

use serde_json::{Value, json};

use super::{Context, view};
use crate::{
    failure::Failure,
    inspect::experiment::state,
    output::{self, Answer},
};

/// List experiments, their states and verdicts
///
/// Examples:
///
///     helenus experiment list
///     helenus experiment list tumour
///
/// JSON result: {"experiments": [as `helenus experiment show` …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only experiments of this job
    job: Option<String>,
}

/// Lists the newest revision of each experiment.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let states = state::states(&store, args.job.as_deref(), 1).await?;
    let rows = states.iter().map(|state| {
        let look = state.looks.first();
        [
            state.row.job.clone(),
            state.row.name.clone(),
            state.row.revision.to_string(),
            state.state().to_owned(),
            state.verdict().unwrap_or("-").to_owned(),
            state.row.metric.clone().unwrap_or_default(),
            look.map_or_else(
                || "-".to_owned(),
                |look| look.at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ),
        ]
    });
    let header = [
        "JOB",
        "EXPERIMENT",
        "REVISION",
        "STATE",
        "VERDICT",
        "METRIC",
        "LOOKED AT",
    ];
    let text = match states.is_empty() {
        true => "no experiments; start one with `helenus experiment start JOB NAME`".to_owned(),
        false => output::table(header, rows),
    };
    let experiments: Vec<Value> = states.iter().map(view::as_json).collect();
    Ok(Answer::new(json!({"experiments": experiments}), text))
}
