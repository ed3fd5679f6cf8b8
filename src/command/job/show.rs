//! `helenus job show`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{Context, rows_of};
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
    store::jobs::{JobRow, JobState, JobStatus},
};

/// Show a revision of a job: manifest, answer, problems, DDL
///
/// Examples:
///
///     helenus job show tumour
///     helenus job show tumour --revision 2
///     helenus job show tumour --output json | jq -r .result.manifest > tumour.toml
///
/// JSON result: {"job", "revision", "revisions": [number …], "state" (null while unanswered),
///   "problems", "warnings", "ddl", "ddl_applied", "model", "source", "target", "fingerprint",
///   "paused", "deleted", "created_by", "created_at", "note", "decided_at", "manifest", "current"
///   (of a job that keeps a table of current predictions: {"version", "since", "run_id"})}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Which revision [default: the newest]
    #[arg(long, value_name = "N")]
    revision: Option<i32>,
}

/// Shows it.
///
/// # Errors
/// Exit 5: no such job or revision.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let rows = rows_of(&store, &args.job).await?;
    let revisions: Vec<i32> = rows.iter().filter_map(|row| row.revision).collect();
    let wanted = args.revision.or(revisions.first().copied());
    let Some(row) = rows.iter().find(|row| row.revision == wanted) else {
        let known: Vec<String> = revisions.iter().map(ToString::to_string).collect();
        return Err(Failure::not_found(
            Problem::new(
                "job.unknown",
                format!("job `{}` has no revision {}", args.job, wanted.unwrap_or(0)),
            )
            .help(format!("it has {}", known.join(", "))),
        ));
    };
    let statuses = store.job_statuses(&args.job).await?;
    let status = statuses
        .iter()
        .find(|status| Some(status.revision) == wanted);
    let paused = rows.iter().any(|row| row.paused == Some(true));
    let deleted = rows.iter().any(|row| row.deleted == Some(true));
    let manifest = row.manifest.clone().unwrap_or_default();
    let current = store.current_table(&args.job).await?;
    let holds = current.as_ref().and_then(|table| table.holds.as_ref());
    let result = json!({
        "job": args.job,
        "revision": wanted,
        "revisions": revisions,
        "state": status.map(|status| status.state.as_str()),
        "problems": status.map(|status| &status.problems),
        "warnings": status.map(|status| &status.warnings),
        "ddl": status.map(|status| &status.ddl),
        "ddl_applied": status.map(|status| status.ddl_applied),
        "model": status.and_then(|status| status.model.as_ref()),
        "source": status.and_then(|status| status.source.as_ref()),
        "target": status.and_then(|status| status.target.as_ref()),
        "fingerprint": status.and_then(|status| status.fingerprint.as_ref()).map(hex::encode),
        "paused": paused,
        "deleted": deleted,
        "created_by": row.created_by,
        "created_at": row.created_at.and_then(|at| spoken(at.0)),
        "note": row.note,
        "decided_at": status.and_then(|status| status.decided_at).and_then(spoken),
        "manifest": row.manifest,
        "current": holds.map(|holds| json!({
            "version": holds.version,
            "since": holds.since.to_rfc3339_opts(SecondsFormat::Secs, true),
            "run_id": holds.run_id.to_string(),
        })),
    });
    let mut text = head(row, status, paused, deleted);
    if current.is_some() {
        text.push_str(&match holds {
            Some(holds) => format!(
                "current predictions: of version {} since {}\n",
                holds.version,
                holds.since.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
            None => "current predictions: not brought together yet, a worker does\n".to_owned(),
        });
    }
    text.push_str(&format!("\n{manifest}"));
    let mut answer = Answer::new(result, text);
    if let Some(status) = status {
        answer.warnings.clone_from(&status.warnings);
    }
    Ok(answer)
}

fn spoken(milliseconds: i64) -> Option<String> {
    let at: DateTime<Utc> = DateTime::from_timestamp_millis(milliseconds)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn head(row: &JobRow, status: Option<&JobStatus>, paused: bool, deleted: bool) -> String {
    let mut text = format!("job {}, revision {}", row.job, row.revision.unwrap_or(0));
    if let Some(by) = &row.created_by {
        text.push_str(&format!(", by {by}"));
    }
    if let Some(at) = row.created_at.and_then(|at| spoken(at.0)) {
        text.push_str(&format!(", {at}"));
    }
    if let Some(note) = &row.note {
        text.push_str(&format!(": {note}"));
    }
    text.push('\n');
    match status {
        None => text.push_str(
            "unanswered: a worker answers within a minute, or `helenus worker --once` now\n",
        ),
        Some(status) => text.push_str(&format!("{}\n", status.state.as_str())),
    }
    if paused {
        text.push_str("paused: no trigger starts a run\n");
    }
    if deleted {
        text.push_str("deleted: its predictions stay\n");
    }
    let Some(status) = status else {
        return text;
    };
    for problem in &status.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    if let (Some(source), Some(target)) = (&status.source, &status.target) {
        text.push_str(&format!("{source} -> {target}\n"));
    }
    if status.state == JobState::NeedsTable {
        text.push_str("\nFor an administrator:\n");
        for statement in &status.ddl {
            text.push_str(&format!("{statement};\n"));
        }
    }
    text
}
