//! `helenus drift baseline`.

use serde_json::json;
use uuid::Uuid;

use super::super::Context;
use crate::{domain::problem::Problem, failure::Failure, inspect::drift, output::Answer};

/// Choose the run that a job's later runs are compared with
///
/// It takes the place of the references that were given with the versions. The run must have been over
/// the whole table. One row of `drift_baselines`; the newest counts.
///
/// Examples:
///
///     helenus drift baseline tumour --run 6f6b6b60-96b6-11f0-8de9-0242ac120002 --note "after the new scanner"
///     helenus drift baseline tumour --none
///
/// JSON result: {"job", "run": null with --none, "versions": […]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The run
    #[arg(long, value_name = "ID", required_unless_present = "none")]
    run: Option<Uuid>,
    /// Go back to the references of the versions
    #[arg(long, conflicts_with = "run")]
    none: bool,
    /// A note, stored with the choice
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Writes the row.
///
/// # Errors
/// Exit 5: unknown job; exit 2: the run has no profile; exit 3: Cassandra or a permission.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if args.run.is_none() && !args.none {
        return Err(Failure::input(Problem::new("usage", "name a run by --run")));
    }
    let store = context.store().await?;
    let versions = match args.run {
        Some(run_id) => drift::check_baseline(&store, &args.job, run_id).await?,
        None => Vec::new(),
    };
    store
        .put_baseline(&args.job, args.run, args.note.as_deref())
        .await?;
    let text = match args.run {
        Some(run_id) => {
            let versions: Vec<String> = versions.iter().map(i32::to_string).collect();
            format!(
                "runs of job {} are compared with run {run_id} from now on (versions {})",
                args.job,
                versions.join(", ")
            )
        }
        None => format!(
            "runs of job {} are compared with the references of its versions from now on",
            args.job
        ),
    };
    let result = json!({"job": args.job, "run": args.run, "versions": versions});
    Ok(Answer::new(result, text))
}
