//! `helenus worker`.

use std::sync::{Arc, atomic::AtomicBool};

use serde_json::json;

use super::Context;
use crate::{domain::problem::Problem, failure::Failure, output::Answer, worker};

/// Answer rows that people wrote, and work on open runs
///
/// With --once it goes over everything once: admits versions, validates jobs, answers requests,
/// works on open runs to their end, and leaves.
///
/// Example:
///
///     helenus worker --once
///
/// JSON result: {"admitted": n, "jobs": n, "aliases": n, "requests": n, "runs": [run id …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Go over everything once and leave
    #[arg(long)]
    once: bool,
}

/// One pass over everything.
///
/// # Errors
/// Cassandra's, or the library's.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if !args.once {
        return Err(Failure::input(
            Problem::new(
                "worker.once_only",
                "the long-running worker is not there yet",
            )
            .help("`helenus worker --once`, from cron or a loop"),
        ));
    }
    let store = context.store().await?;
    let stop = Arc::<AtomicBool>::default();
    let done = worker::once(&store, stop).await?;
    let runs: Vec<_> = done.runs.iter().map(ToString::to_string).collect();
    let text = format!(
        "{} versions admitted or refused, {} jobs validated, {} alias requests and {} run requests answered, {} runs worked on",
        done.admissions,
        done.jobs,
        done.aliases,
        done.requests,
        runs.len()
    );
    let result = json!({
        "admitted": done.admissions, "jobs": done.jobs, "aliases": done.aliases,
        "requests": done.requests, "runs": runs,
    });
    let mut answer = Answer::new(result, text);
    answer.warnings = done.troubles;
    Ok(answer)
}
