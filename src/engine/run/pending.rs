//! A dry run: the same walk, without scoring and without writing.

use std::sync::{Arc, atomic::AtomicBool};

use futures::{StreamExt, TryStreamExt};

use super::{
    plan,
    source::{self, Reading},
    split_error::SplitError,
    walk::{Arrived, Sink, Walk},
};
use crate::{
    domain::{
        job::CompiledJob,
        problem::Problem,
        run::{Counts, Part, Scope},
    },
    engine::predict::Batch,
    failure::Failure,
    store::Store,
};

/// Counts the rows that a run would score (under `scored`), that are unchanged, and that are
/// rejected: stored as rejected, or rejected before any model sees them.
///
/// # Errors
/// Cassandra's errors, or invalid keys.
pub async fn count(store: &Store, job: &CompiledJob, scope: &Scope) -> Result<Counts, Failure> {
    let keys = match &scope.part {
        Part::Keys(keys) => source::asked_keys(job, keys).map_err(Failure::inputs)?,
        _ => Vec::new(),
    };
    let keys = Arc::new(keys);
    let never = AtomicBool::new(false);
    let splits = plan::splits(store, job, &scope.part).await?;
    let counts: Vec<Counts> = futures::stream::iter(splits)
        .map(|range| {
            let walk = Walk {
                store,
                job,
                range,
                keys: &keys,
                rewrite: scope.rewrite,
                unfinished: &[],
                batch_rows: store.config().batch_rows,
                stop: &never,
            };
            async move {
                let mut counter = Counter::default();
                let counts = walk.run(&Reading::default(), &mut counter).await?;
                counter.0.add(&counts);
                Ok::<_, SplitError>(counter.0)
            }
        })
        .buffer_unordered(store.config().readers.max(1))
        .try_collect()
        .await
        .map_err(|error| match error {
            SplitError::Store(error) => Failure::from(error),
            other => Failure::system(Problem::new("score.dry_run", other.to_string())),
        })?;
    let mut total = Counts::default();
    counts.iter().for_each(|counts| total.add(counts));
    Ok(total)
}

#[derive(Default)]
struct Counter(Counts);

impl Sink for Counter {
    fn arrived(&self, _: &Arrived) {}

    async fn push(&mut self, batch: &mut Batch) -> Result<(), SplitError> {
        for rows in &batch.versions {
            *self.0.scored.entry(rows.version).or_default() += rows.rows.len() as u64;
            *self.0.rejected.entry(rows.version).or_default() += rows.rejected.len() as u64;
        }
        batch.clear();
        Ok(())
    }
}
