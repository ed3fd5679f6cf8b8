//! `helenus job list`.

use serde_json::json;

use super::Context;
use crate::{
    failure::Failure,
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
    /// Deleted jobs, too
    #[arg(long)]
    all: bool,
}

/// Lists them.
///
/// # Errors
/// Cassandra's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let mut names = store.sweep_jobs().await?;
    names.sort();
    let mut jobs = Vec::new();
    let mut lines = Vec::new();
    for name in names {
        let rows = store.job_rows(&name).await?;
        let deleted = rows.iter().any(|row| row.deleted == Some(true));
        let paused = rows.iter().any(|row| row.paused == Some(true));
        let Some(revision) = rows.first().and_then(|row| row.revision) else {
            continue;
        };
        if deleted && !args.all {
            continue;
        }
        let statuses = store.job_statuses(&name).await?;
        let status = statuses
            .into_iter()
            .find(|status| status.revision == revision);
        let state = status.as_ref().map(|status| status.state.as_str());
        let of = |value: Option<&String>| value.cloned().unwrap_or_default();
        let model = status.as_ref().and_then(|status| status.model.as_ref());
        let source = status.as_ref().and_then(|status| status.source.as_ref());
        let target = status.as_ref().and_then(|status| status.target.as_ref());
        let said = match (deleted, paused, state) {
            (true, _, _) => "deleted".to_owned(),
            (_, true, Some(state)) => format!("{state}, paused"),
            (_, _, Some(state)) => state.to_owned(),
            (_, _, None) => "unanswered".to_owned(),
        };
        lines.push([
            name.clone(),
            revision.to_string(),
            said,
            of(model),
            of(source),
            of(target),
        ]);
        jobs.push(json!({
            "job": name,
            "revision": revision,
            "state": state,
            "model": model,
            "source": source,
            "target": target,
            "paused": paused,
            "deleted": deleted,
        }));
    }
    let text = match lines.is_empty() {
        true => "there are no jobs; `helenus job create FILE` adds one".to_owned(),
        false => output::table(
            ["JOB", "REVISION", "STATE", "MODEL", "SOURCE", "PREDICTIONS"],
            lines,
        ),
    };
    Ok(Answer::new(json!({ "jobs": jobs }), text))
}
