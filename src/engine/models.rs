//! Loads a job's models to score a row, an expectation or a table.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::warm::Warm;
use crate::{
    config::Config,
    domain::{
        job::CompiledVersion,
        model::{Admitted, Signature},
        problem::Problem,
    },
    failure::Failure,
    metrics,
    scorer::{image::Image, isolate::Models, pool::Pool, preparers::Preparers, runtime},
    store::Store,
};

/// Loads the versions, in order, on `threads` threads.
///
/// # Errors
/// A chunk is missing or was altered, the library is missing, or it refuses a model.
pub async fn load(
    store: &Store,
    versions: &[CompiledVersion],
    threads: usize,
) -> Result<Pool, Failure> {
    let admitted = versions.iter().map(|version| &version.ready.admitted);
    load_admitted(store, admitted, threads).await
}

/// Files on this machine by the sha256 of their content.
pub type ModelFiles = BTreeMap<[u8; 32], PathBuf>;

/// As [`load`]; models with a file here are read from it, and need not be stored.
///
/// # Errors
/// As [`load`]; a file is not the admitted one.
pub async fn load_planned(
    store: &Store,
    versions: &[CompiledVersion],
    threads: usize,
    files: &ModelFiles,
) -> Result<Pool, Failure> {
    let mut models = Vec::new();
    for version in versions {
        let admitted = &version.ready.admitted;
        let image = match files.get(&admitted.sha256) {
            Some(file) => Image::open(file, admitted),
            None => Image::new(store.model_bytes(admitted).await?, admitted),
        };
        models.push((image.map_err(Failure::input)?, admitted.signature.clone()));
    }
    start(store.config(), models, threads).await
}

/// As [`load`], without a job.
///
/// # Errors
/// As [`load`].
pub async fn load_admitted<'a>(
    store: &Store,
    versions: impl Iterator<Item = &'a Admitted>,
    threads: usize,
) -> Result<Pool, Failure> {
    let mut models = Vec::new();
    for admitted in versions {
        let bytes = store.model_bytes(admitted).await?;
        let image = Image::new(bytes, admitted).map_err(Failure::input)?;
        models.push((image, admitted.signature.clone()));
    }
    start(store.config(), models, threads).await
}

/// Returns the pool for a run of these versions: one that is still loaded, or a new one, which
/// later runs then share. Isolated child processes serve one run each, so that effects of one run
/// end with it.
///
/// # Errors
/// As [`load`].
pub async fn loaded(
    store: &Store,
    versions: &[CompiledVersion],
    warm: &Warm,
) -> Result<Arc<Pool>, Failure> {
    let admitted: Vec<_> = versions
        .iter()
        .map(|version| version.ready.admitted.clone())
        .collect();
    let count = |from| {
        metrics::MODEL_LOADS
            .counter([from])
            .increment(admitted.len() as u64)
    };
    if let Some(pool) = warm.find(&admitted) {
        count("memory");
        return Ok(pool);
    }
    count("store");
    let config = store.config();
    let pool = Arc::new(load(store, versions, config.scoring_threads).await?);
    if !config.isolate {
        warm.keep(admitted, &pool);
    }
    Ok(pool)
}

/// Starts a pool as configured: in this process, or in child processes with `isolate`.
///
/// # Errors
/// Exit 3 for failures that say nothing about the models (no library, no threads); exit 1 for
/// models whose every process crashes while it loads them.
pub async fn start(
    config: &Config,
    models: Vec<(Image, Signature)>,
    threads: usize,
) -> Result<Pool, Failure> {
    let (library, limit) = (config.onnxruntime.clone(), config.batch_timeout);
    let memory = config
        .isolate
        .then_some((config.isolate_memory_mib as u64) << 20);
    let start = move || match memory {
        None => {
            let runtime = runtime::load(library.as_deref())?;
            Pool::start(runtime, models, threads, limit)
        }
        Some(memory) => {
            let library = runtime::locate(library.as_deref());
            Pool::start_isolated(Models::new(&library, memory, models), threads, limit)
        }
    };
    // Loading blocks its thread.
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|error| Failure::system(Problem::new("scorer.threads", error.to_string())))?
        .map_err(|problem| match problem.code.as_str() {
            "model.process_died" => Failure::no(problem),
            _ => Failure::system(problem),
        })
}

/// Returns what prepares cells as configured, for rows that no model is to score, in `threads`
/// processes: `None` without `isolate`.
pub fn preparers(config: &Config, threads: usize) -> Option<Preparers> {
    let memory = (config.isolate_memory_mib as u64) << 20;
    config
        .isolate
        .then(|| Preparers::new(memory, threads, config.batch_timeout))
}

/// Starts loading ONNX Runtime's library, which takes as long as planning a run does. Code that
/// needs the library later waits for it, and gets the error if loading failed.
pub fn preload(config: &Config) {
    let library = config.onnxruntime.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(problem) = runtime::load(library.as_deref()) {
            tracing::debug!(?problem, "loading the library ahead");
        }
    });
}

/// Ends the pool's threads.
pub async fn unload(pool: Pool) {
    // A panic of a scoring thread was logged when it happened.
    let _ = tokio::task::spawn_blocking(move || drop(pool)).await;
}
