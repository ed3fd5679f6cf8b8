//! `helenus experiment stop`.

use super::{
    Context, find, view,
    wait::{Wait, answered},
};
use crate::{
    domain::{experiment::ExperimentRow, problem::Problem},
    failure::Failure,
    output::Answer,
    store::{Store, evidence::experiments::ExperimentStatus},
};

/// Stop an experiment
///
/// From then on the champion serves all rows again. Stopping gives no verdict: that is what the
/// planned end is for. A stopped experiment does not start again; `helenus experiment start` with the
/// same name makes a new revision.
///
/// Example:
///
///     helenus experiment stop tumour sharper
///
/// Exit code 4: it is over already.
///
/// JSON result: as `helenus experiment show`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The experiment
    name: String,
    #[command(flatten)]
    wait: Wait,
}

/// Marks the newest revision as stopped and waits for the answer.
///
/// # Errors
/// Exit 5: no such experiment; exit 4: it is over.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let state = find(&store, &args.job, &args.name, 1).await?;
    if let Some(status) = state.status.filter(|status| status.state.is_over()) {
        let message = format!("experiment `{}` is {}", args.name, status.state.as_str());
        return Err(Failure::conflict(Problem::new("experiment.over", message)));
    }
    stop_revision(&store, context, &state.row, args.wait).await
}

/// Marks a revision as stopped and waits for the answer.
///
/// # Errors
/// Exit 3: no answer in time, or Cassandra.
pub async fn stop_revision(
    store: &Store,
    context: &Context,
    row: &ExperimentRow,
    wait: Wait,
) -> Result<Answer, Failure> {
    let revision = (row.job.as_str(), row.name.as_str(), row.revision);
    store
        .stop_experiment(&row.job, &row.name, row.revision)
        .await?;
    let is_over = |status: &ExperimentStatus| status.state.is_over();
    answered(store, context, revision, is_over, wait).await?;
    let state = find(store, &row.job, &row.name, 1).await?;
    Ok(Answer::new(view::as_json(&state), view::text(&state)))
}
