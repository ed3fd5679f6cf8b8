//! Estimates how many rows are pending, from a sample.
//!
//! **Sampling**: the ring is cut into 16 equal parts. From a random token of each, neighbouring
//! rows are walked in source and prediction table together, as `helenus score --dry-run` walks
//! them. A walk ends after 125  rows, at the end of a partition; one that reaches the ring's end
//! continues at its beginning. A table that had at most 2,000 rows in the previous estimate (or has
//! so few partitions by  Cassandra's own estimate) is counted completely.
//!
//! **Error**: [`crate::domain::trigger::estimate`] gives the interval. Rows of a partition beyond
//! 250 are not seen, so tables of longer partitions are underestimated. Their share is right  only
//! if the pending rows are spread evenly over long partitions.
//!
//! **Cost**: about 2,000 rows are used. At most 16 x 6 pages of each of the two tables are read, in
//! pages of 64 rows of which up to two are read ahead: about 6,000 rows and 200 requests, 4 walks
//! at a time.

use std::sync::{Arc, atomic::AtomicBool};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};

use crate::{
    codec::ring::TokenRange,
    domain::{
        job::CompiledJob,
        problem::Problem,
        run::Counts,
        trigger::estimate::{Cluster, Estimate},
    },
    engine::{
        predict::Batch,
        run::{
            source::Reading,
            split_error::SplitError,
            stored::StoredPredictions,
            walk::{Arrived, Next, SourceRow, Visit, Walk},
        },
    },
    failure::Failure,
    store::Store,
};

/// Largest number of rows of a table that is counted instead of sampled.
const SMALL: u64 = 2_000;
const CLUSTERS: u64 = 16;
/// Rows per cluster.
const CLUSTER_ROWS: u64 = 125;
/// Clusters read concurrently.
const AT_A_TIME: usize = 4;
const PAGE_ROWS: i32 = 64;
/// Rows of a batch; these batches are never scored.
const BATCH_ROWS: usize = 256;

/// Estimates how many source rows are pending for at least one of the job's versions. `known_rows`
/// is the number of rows of the previous estimate.
///
/// # Errors
/// Errors of Cassandra.
pub async fn estimate(
    store: &Store,
    job: &CompiledJob,
    known_rows: Option<u64>,
    now: DateTime<Utc>,
) -> Result<Estimate, Failure> {
    let guess = match known_rows {
        Some(rows) => rows,
        None => store
            .estimated_partitions(&job.source.keyspace, &job.source.table)
            .await?
            .unwrap_or(0),
    };
    if guess <= SMALL {
        let seen = walk(store, job, TokenRange::WHOLE, SMALL)
            .await
            .map_err(unread)?;
        if seen.up_to.is_none() {
            return Ok(Estimate::counted(now, seen.rows, seen.pending));
        }
    }
    let part = u64::MAX / CLUSTERS;
    let starts = (0..CLUSTERS).map(|at| {
        let offset = at * part + rand::random::<u64>() % part;
        i64::MIN.wrapping_add(offset as i64)
    });
    let found: Vec<Estimated> = futures::stream::iter(starts)
        .map(|start| cluster(store, job, start))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(unread)?;
    let mut clusters = Vec::with_capacity(found.len());
    for found in found {
        match found {
            Estimated::All { rows, pending } => return Ok(Estimate::counted(now, rows, pending)),
            Estimated::Cluster(cluster) => clusters.push(cluster),
        }
    }
    Ok(Estimate::sampled(now, &clusters))
}

fn unread(error: SplitError) -> Failure {
    match error {
        SplitError::Store(error) => error.into(),
        other => Failure::system(Problem::new("trigger.estimate", other.to_string())),
    }
}

enum Estimated {
    Cluster(Cluster),
    /// The whole table, which has fewer rows than a cluster.
    All {
        rows: u64,
        pending: u64,
    },
}

async fn cluster(store: &Store, job: &CompiledJob, start: i64) -> Result<Estimated, SplitError> {
    let (mut rows, mut pending, mut width) = (0, 0, 0);
    for range in [
        TokenRange::new(start, i64::MAX),
        TokenRange::new(i64::MIN, start),
    ]
    .into_iter()
    .flatten()
    {
        let seen = walk(store, job, range, CLUSTER_ROWS - rows).await?;
        rows += seen.rows;
        pending += seen.pending;
        let up_to = seen.up_to.unwrap_or(range.up_to);
        width += up_to.wrapping_sub(range.after) as u64;
        if seen.up_to.is_some() || rows >= CLUSTER_ROWS {
            return Ok(Estimated::Cluster(Cluster {
                rows,
                pending,
                width,
            }));
        }
    }
    Ok(Estimated::All { rows, pending })
}

async fn walk(
    store: &Store,
    job: &CompiledJob,
    range: TokenRange,
    limit: u64,
) -> Result<Counter, SplitError> {
    let (never, keys) = (AtomicBool::new(false), Arc::default());
    let walk = Walk {
        store,
        job,
        range: Some(range),
        keys: &keys,
        rewrite: false,
        unfinished: &[],
        batch_rows: BATCH_ROWS,
        stop: &never,
    };
    let reading = Reading {
        page_rows: Some(PAGE_ROWS),
        orphans: Some(0),
        ..Reading::default()
    };
    let mut looker = Looker {
        job,
        batch: Batch::new(job),
        scratch: Vec::new(),
        limit,
        partition: None,
        counter: Counter::default(),
    };
    walk.visit(&reading, &mut looker).await?;
    if looker.counter.up_to.is_none() {
        looker.end_partition();
    }
    Ok(looker.counter)
}

/// What a walk saw.
#[derive(Default)]
struct Counter {
    rows: u64,
    pending: u64,
    /// Token of the last partition, if the walk ended before the range did.
    up_to: Option<i64>,
}

/// The partition under way: its token, rows and pending rows.
#[derive(Clone, Copy)]
struct Partition {
    token: i64,
    rows: u64,
    pending: u64,
}

struct Looker<'j> {
    job: &'j CompiledJob,
    batch: Batch,
    scratch: Vec<u8>,
    limit: u64,
    partition: Option<Partition>,
    counter: Counter,
}

impl Looker<'_> {
    fn end_partition(&mut self) -> Option<i64> {
        let partition = self.partition.take()?;
        self.counter.rows += partition.rows;
        self.counter.pending += partition.pending;
        Some(partition.token)
    }
}

impl Visit for Looker<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let token = row.position.token;
        if self
            .partition
            .is_none_or(|partition| partition.token != token)
        {
            let last = self.end_partition();
            if self.counter.rows >= self.limit {
                self.counter.up_to = last;
                return Next::End;
            }
            self.partition = Some(Partition {
                token,
                rows: 0,
                pending: 0,
            });
        }
        let before = self.batch.rows();
        let mut counts = Counts::default();
        self.batch.offer(
            self.job,
            row.cells,
            false,
            Some(&stored.standing(row.identity)),
            &mut counts,
            &mut self.scratch,
        );
        let is_pending = self.batch.rows() > before;
        if self.batch.is_full(BATCH_ROWS) {
            self.batch = Batch::new(self.job);
        }
        let Some(partition) = &mut self.partition else {
            return Next::Row;
        };
        partition.rows += 1;
        partition.pending += u64::from(is_pending);
        if self.counter.rows + partition.rows >= 2 * self.limit {
            self.counter.up_to = self.end_partition();
            return Next::End;
        }
        Next::Row
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        Ok(())
    }
}
