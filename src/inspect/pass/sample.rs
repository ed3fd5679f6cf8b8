//! Reads some entities at random places, to fix what a pass must know beforehand.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};

use super::{Fold, Running, Scope, join::Join, work::failure};
use crate::{
    codec::ring::TokenRange,
    engine::{
        run::{
            position::Position,
            source::Reading,
            split_error::SplitError,
            stored::StoredPredictions,
            walk::{Arrived, Next, SourceRow, Visit, Walk},
        },
        sample::{Stratum, strata},
    },
    failure::Failure,
    store::{Store, predictions::selects::Carry},
};

/// Presents about `rows` source rows to `fold`, without labels, and stores nothing.
///
/// # Errors
/// Cassandra's errors; interrupted (exit 130).
pub async fn sample<F: Fold>(
    store: &Store,
    scope: &Scope,
    fold: &F,
    rows: u64,
    running: &Running,
) -> Result<F::Part, Failure> {
    let strata = strata(rows, &mut rand::rng()).into_iter();
    let parts = strata.map(|stratum| stratum_part(store, scope, fold, stratum, running).boxed());
    let mut parts = futures::stream::iter(parts).buffered(store.config().readers.max(1));
    let mut sum = fold.empty();
    while let Some(part) = parts.next().await {
        fold.merge(&mut sum, part.map_err(|error| failure(error, false))?);
    }
    Ok(sum)
}

async fn stratum_part<F: Fold>(
    store: &Store,
    scope: &Scope,
    fold: &F,
    stratum: Stratum,
    running: &Running,
) -> Result<F::Part, SplitError> {
    let mut sum = fold.empty();
    let mut left = stratum.rows;
    for range in stratum.ranges() {
        if left == 0 {
            break;
        }
        let mut some = First {
            join: Join::new(scope, fold, &running.pace, None, None),
            left,
        };
        walk(store, scope, range, &mut some, running).await?;
        left = some.left;
        fold.merge(&mut sum, some.join.finish().await?.0);
    }
    Ok(sum)
}

async fn walk<F: Fold>(
    store: &Store,
    scope: &Scope,
    range: TokenRange,
    some: &mut First<'_, F>,
    running: &Running,
) -> Result<(), SplitError> {
    let no_keys = Arc::default();
    let walk = Walk {
        store,
        job: &scope.job,
        range: Some(range),
        keys: &no_keys,
        rewrite: false,
        unfinished: &[],
        batch_rows: store.config().batch_rows,
        stop: &running.stopped,
    };
    let reading = Reading {
        carry: Carry::Proof,
        page_rows: Some(some.left.clamp(10, 5_000) as i32),
        orphans: Some(0),
    };
    walk.visit(&reading, some).await.map(drop)
}

/// Visits only the first `left` rows.
struct First<'a, F: Fold> {
    join: Join<'a, F>,
    left: u64,
}

impl<F: Fold> Visit for First<'_, F> {
    fn arrived(&self, _: &Arrived) {}

    async fn enter(&mut self, position: &Position) -> Result<(), SplitError> {
        self.join.enter(position).await
    }

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        self.left -= 1;
        match (self.join.row(row, stored), self.left) {
            (_, 0) => Next::End,
            (next, _) => next,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        self.join.flush().await
    }
}
