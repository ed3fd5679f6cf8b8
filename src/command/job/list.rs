//! `helenus job list`.

use serde_json::json;

use super::Context;
use crate::{
    failure::Failure,
    inspect::catalog::{self, JobSummary},
    output::{self, Answer},
};

/// List jobs
///
/// Examples:
///
///     helenus job list
///     helenus job list --all --output json | jq .result.jobs
///
/// JSON result: {"jobs": [{"job", "revision", "state" (null while unanswered), "model", "source",
///   "target", "paused", "deleted"}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Include deleted jobs
    #[arg(long)]
    all: bool,
}

/// Lists the jobs.
///
/// # Errors
/// Exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let jobs = catalog::jobs(&store, args.all).await?;
    let text = match jobs.is_empty() {
        true => "no jobs; create one with `helenus job create FILE`".to_owned(),
        false => output::table(
            ["JOB", "REVISION", "STATE", "MODEL", "SOURCE", "PREDICTIONS"],
            jobs.iter().map(job_row),
        ),
    };
    Ok(Answer::new(json!({ "jobs": jobs }), text))
}

fn job_row(job: &JobSummary) -> [String; 6] {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let state = match (job.deleted, job.paused, job.state) {
        (true, _, _) => "deleted".to_owned(),
        (_, true, Some(state)) => format!("{state}, paused"),
        (_, _, Some(state)) => state.to_owned(),
        (_, _, None) => "unanswered".to_owned(),
    };
    [
        job.job.clone(),
        job.revision.to_string(),
        state,
        text(&job.model),
        text(&job.source),
        text(&job.target),
    ]
}
