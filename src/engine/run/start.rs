//! Prepares a planned run in this process: the job compiled as planned, models loaded, statements
//! prepared.

use std::sync::Arc;

use super::{
    close,
    context::{Progress, RunContext},
    outbox::Outbox,
    pace::Pace,
    profiling,
    shared::Shared,
    source,
    work::Worked,
};
use crate::{
    domain::{
        job::served::Arms,
        problem::Problem,
        run::{Part, Run},
    },
    engine::{admission, jobs, models},
    failure::Failure,
    metrics::RowCounters,
    store::Store,
};

/// The outcome of starting a run.
pub enum Started {
    /// The run is ready to work on.
    Ready(Box<RunContext>),
    /// No worker could work on the run, so it has ended.
    Failed(Box<Run>),
}

/// Prepares what the splits of `run` need. A run that no worker could start (its source has
/// changed, a model is gone) fails with the reason instead of staying open.
///
/// # Errors
/// Failures that another process or a later try may not see: Cassandra, the library, Kafka.
pub async fn start_or_fail(
    store: &Store,
    run: Run,
    progress: Arc<Progress>,
    shared: &Shared,
) -> Result<Started, Failure> {
    match start(store, run.clone(), progress, shared).await {
        Ok(context) => Ok(Started::Ready(Box::new(context))),
        Err(failure) if failure.is_retryable() => Err(failure),
        Err(failure) => {
            let reasons: Vec<_> = failure.problems.iter().map(Problem::line).collect();
            match close::fail(store, &run, &reasons.join("; ")).await? {
                Worked::Ended(run) => Ok(Started::Failed(run)),
                _ => Err(failure),
            }
        }
    }
}

/// Prepares what the splits of `run` need. Versions and revision are the planned ones, wherever
/// aliases point now.
///
/// # Errors
/// The source has changed, a model's chunks are missing or altered, or the library can't be loaded.
async fn start(
    store: &Store,
    run: Run,
    progress: Arc<Progress>,
    shared: &Shared,
) -> Result<RunContext, Failure> {
    let prepared = jobs::prepare_planned(store, &run).await?;
    let mut job = prepared.job;
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
    let profiling = profiling::of_run(store, &mut job, &run).await?;
    // Only now all columns are known that come before the experiment's unit.
    job.served.champion = run.current.map(|current| current.version);
    if let Some(allocation) = run.allocation.clone() {
        let arms = Arms::new(&job, *allocation).map_err(Failure::input)?;
        job.served.arms = Some(Arc::new(arms));
    }
    let outbox = Outbox::of_run(&job, &run, shared.sink.as_ref())?;
    let config = store.config();
    let scorer = models::loaded(store, &job.versions, &shared.warm).await?;
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
        outbox,
        keys: Arc::new(keys),
        pace: Pace::new(run.max_rows_per_s),
        rows: RowCounters::for_job(&run.job),
        profiling,
        batch_rows: config.batch_rows,
        store: store.clone(),
        progress,
        scorer,
        run,
        job,
    })
}
