//! `helenus job show`.

use serde_json::json;

use super::Context;
use crate::{
    failure::Failure,
    inspect::catalog::{self, JobDetail},
    output::Answer,
    store::jobs::JobState,
};

/// Show a revision of a job: its manifest, state, problems and DDL
///
/// Examples:
///
///     helenus job show tumour
///     helenus job show tumour --revision 2
///     helenus job show tumour --output json | jq -r .result.manifest > tumour.toml
///
/// JSON result: {"job", "revision", "revisions": [number …], "state" (null while unanswered),
///   "problems", "warnings", "ddl", "ddl_applied", "model", "source", "target", "fingerprint",
///   "paused", "deleted", "created_by", "created_at", "note", "decided_at", "manifest", "current":
///   null or {"version", "since", "run_id"} if the job keeps a table of current predictions}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The revision [default: the newest]
    #[arg(long, value_name = "N")]
    revision: Option<i32>,
}

/// Shows the revision.
///
/// # Errors
/// Exit 5: no such job or revision.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let job = catalog::job(&store, &args.job, args.revision).await?;
    let mut text = head(&job);
    if job.keeps_current {
        text.push_str(&match &job.current {
            Some(holds) => format!(
                "current predictions: of version {} since {}\n",
                holds.version, holds.since
            ),
            None => "current predictions: not copied yet; a worker copies them\n".to_owned(),
        });
    }
    // A tab is a control character and would be escaped.
    let manifest = job.manifest.as_deref().unwrap_or_default();
    text.push_str(&format!("\n{}", manifest.replace('\t', "    ")));
    let mut answer = Answer::new(json!(job), text);
    answer.warnings = job.warnings.unwrap_or_default();
    Ok(answer)
}

fn head(job: &JobDetail) -> String {
    let mut text = format!("job {}, revision {}", job.job, job.revision.unwrap_or(0));
    if let Some(by) = &job.created_by {
        text.push_str(&format!(", by {by}"));
    }
    if let Some(at) = &job.created_at {
        text.push_str(&format!(", {at}"));
    }
    if let Some(note) = &job.note {
        text.push_str(&format!(": {note}"));
    }
    text.push('\n');
    match job.state {
        None => text.push_str(
            "unanswered: a running worker answers within a minute; `helenus worker --once` answers now\n",
        ),
        Some(state) => text.push_str(&format!("{state}\n")),
    }
    if job.paused {
        text.push_str("paused: triggers start no runs\n");
    }
    if job.deleted {
        text.push_str("deleted: its predictions stay\n");
    }
    for problem in job.problems.iter().flatten() {
        text.push_str(&format!("  {problem}\n"));
    }
    if let (Some(source), Some(target)) = (&job.source, &job.target) {
        text.push_str(&format!("{source} -> {target}\n"));
    }
    if job.state == Some(JobState::NeedsTable.as_str()) {
        text.push_str("\nFor an administrator:\n");
        for statement in job.ddl.iter().flatten() {
            text.push_str(&format!("{statement};\n"));
        }
    }
    text
}
