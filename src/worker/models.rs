//! A job's models, loaded to score a row or a table again.

use crate::{
    domain::{job::CompiledVersion, problem::Problem},
    failure::Failure,
    scorer::{image::Image, pool::Pool, runtime},
    store::Store,
};

/// Loads the versions, in their order, on `threads` threads.
///
/// # Errors
/// A chunk that is missing or was altered, no library, a model that it refuses.
pub async fn load(
    store: &Store,
    versions: &[CompiledVersion],
    threads: usize,
) -> Result<Pool, Failure> {
    let mut models = Vec::with_capacity(versions.len());
    for version in versions {
        let admitted = &version.ready.admitted;
        let bytes = store.model_bytes(admitted).await?;
        let image = Image::new(bytes, admitted).map_err(Failure::input)?;
        models.push((image, admitted.signature.clone()));
    }
    let library = store.config().onnxruntime.clone();
    let limit = store.config().batch_timeout;
    let start = move || {
        let runtime = runtime::load(library.as_deref())?;
        Pool::start(runtime, &models, threads, limit)
    };
    // Loading keeps its thread busy.
    tokio::task::spawn_blocking(start)
        .await
        .map_err(|error| Failure::system(Problem::new("scorer.threads", error.to_string())))?
        .map_err(Failure::system)
}

/// Ends the pool's threads.
pub async fn unload(pool: Pool) {
    // A panic of a scoring thread was told when it happened.
    let _ = tokio::task::spawn_blocking(move || drop(pool)).await;
}
