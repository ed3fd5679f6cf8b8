//! A planned run made ready in this process: job compiled as planned, models loaded, statements
//! prepared.

use std::sync::Arc;

use super::{
    close,
    context::{Progress, RunContext},
    pace::Pace,
    source,
    work::Worked,
};
use crate::{
    domain::{
        problem::Problem,
        run::{Part, Run},
    },
    failure::{Exit, Failure},
    metrics::RowCounters,
    store::Store,
    worker::{admission, jobs, models, warm::Warm},
};

/// What starting came to.
pub enum Started {
    /// Ready to work on.
    Ready(Box<RunContext>),
    /// Nobody could work on it: the run has ended.
    Failed(Box<Run>),
}

/// Brings together what the splits of `run` need; a run that no worker could start (its source has changed, a model is gone) fails
/// with the reason instead of staying open.
///
/// # Errors
/// What another process or a later try may not meet: Cassandra, the library.
pub async fn start_or_fail(
    store: &Store,
    run: Run,
    progress: Arc<Progress>,
    warm: &Warm,
) -> Result<Started, Failure> {
    match start(store, run.clone(), progress, warm).await {
        Ok(context) => Ok(Started::Ready(Box::new(context))),
        Err(failure) if failure.exit == Exit::System => Err(failure),
        Err(failure) => {
            let reasons: Vec<_> = failure.problems.iter().map(Problem::line).collect();
            match close::fail(store, &run, &reasons.join("; ")).await? {
                Worked::Ended(run) => Ok(Started::Failed(run)),
                _ => Err(failure),
            }
        }
    }
}

/// Brings together what the splits of `run` need. The versions and the revision are the planned
/// ones, wherever aliases point by now.
///
/// # Errors
/// The source has changed, a model's chunks are missing or altered, the library can't be loaded.
async fn start(
    store: &Store,
    run: Run,
    progress: Arc<Progress>,
    warm: &Warm,
) -> Result<RunContext, Failure> {
    let prepared = jobs::prepare_planned(store, &run).await?;
    let job = prepared.job;
    for version in &job.versions {
        let ready = &version.ready;
        let planned = run.model_sha256.get(&ready.version);
        if planned.is_some_and(|planned| planned.as_slice() != ready.admitted.sha256) {
            return Err(Failure::input(Problem::new(
                "model.tampered",
                format!(
                    "version {} of model `{}` is not the one the run was planned with",
                    ready.version, ready.model
                ),
            )));
        }
        admission::confirm(store, ready).await?;
    }
    let config = store.config();
    let scorer = models::loaded(store, &job.versions, warm).await?;
    let keys = match &run.scope.part {
        Part::Keys(keys) => source::asked_keys(&job, keys).map_err(Failure::inputs)?,
        _ => Vec::new(),
    };
    Ok(RunContext {
        base: run.run_base.unwrap_or_default(),
        unfinished: run
            .plan
            .as_ref()
            .map(|plan| plan.unfinished.clone())
            .unwrap_or_default(),
        writer: store.prediction_writer(&job).await?,
        keys: Arc::new(keys),
        pace: Pace::new(run.max_rows_per_s),
        rows: RowCounters::of(&run.job),
        batch_rows: config.batch_rows,
        store: store.clone(),
        progress,
        scorer,
        run,
        job,
    })
}
