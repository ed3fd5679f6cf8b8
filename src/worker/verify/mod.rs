//! Proving a prediction table: today's rows are scored again by the models that the predictions
//! name, and what stands is held against what comes out.
//!
//! It is the walk of a run ([`super::run::walk`]) over the same two tables, which sees each source
//! row together with the whole prediction that stands for it; nothing is written. Memory is
//! bounded as in a run: a batch a reader, and a partition's predictions.

mod cover;
mod recheck;
mod sample;
mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::{
    jobs, models,
    run::{
        context::Progress,
        plan,
        source::Reading,
        split::SplitError,
        walk::{Visit, Walk},
    },
};
use crate::{
    domain::{job::CompiledJob, problem::Problem, ring::TokenRange, run::Part},
    failure::Failure,
    scorer::pool::Pool,
    store::{Store, selects::Carry},
};
pub use sample::{Stratum, strata};
pub use tally::{Absent, Difference, Tally, VersionTally};

/// Times that a range is read before its trouble is everybody's.
const ATTEMPTS: u32 = 3;

/// What is to be proved.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The job.
    pub job: String,
    /// Only these of its versions.
    pub versions: Option<BTreeSet<i32>>,
    /// About so many source rows, instead of all.
    pub sample: Option<u64>,
    /// Also look for rows without predictions and predictions without rows, over the whole ring.
    pub coverage: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The job, with the versions that were looked at.
    pub job: CompiledJob,
    /// Its revision.
    pub revision: i32,
    /// Aliases of the manifest, and where they point now.
    pub aliases: BTreeMap<String, i32>,
    /// Of the rows that were scored again.
    pub tally: Tally,
    /// Of the whole ring, if that was asked for.
    pub coverage: Option<Tally>,
    /// Runs that were open meanwhile: what they had not reached yet shows as stale or missing.
    pub open_runs: BTreeSet<Uuid>,
}

/// Looks at what stands. `progress` counts source rows.
///
/// # Errors
/// As [`jobs::prepare`]; a model that can't be had; Cassandra's.
pub async fn verify(
    store: &Store,
    wish: &Wish,
    progress: Arc<Progress>,
) -> Result<Report, Failure> {
    let prepared = jobs::prepare(store, &wish.job, wish.versions.as_ref()).await?;
    let job = prepared.job;
    let mut open_runs = open_runs(store, &job).await?;
    let pool = models::load(store, &job.versions, store.config().scoring_threads).await?;
    let proving = Proving {
        store,
        job: &job,
        pool: &pool,
        progress: &progress,
        coverage: wish.coverage && wish.sample.is_none(),
    };
    let found = match wish.sample {
        None => proving.everything().await,
        Some(rows) => proving.sample(rows).await,
    };
    models::unload(pool).await;
    let tally = found?;
    let coverage = match (wish.coverage, wish.sample) {
        (false, _) => None,
        (true, None) => Some(tally.clone()),
        (true, Some(_)) => Some(cover(store, &job, &progress).await?),
    };
    open_runs.extend(self::open_runs(store, &job).await?);
    Ok(Report {
        job,
        revision: prepared.revision,
        aliases: prepared.aliases,
        tally,
        coverage,
        open_runs,
    })
}

async fn open_runs(store: &Store, job: &CompiledJob) -> Result<BTreeSet<Uuid>, Failure> {
    let looked_at = |version| job.versions.iter().any(|v| v.ready.version == version);
    let open = store.open_runs(&job.job).await?.into_iter();
    Ok(open
        .filter(|row| looked_at(row.version))
        .filter_map(|row| row.run_id)
        .collect())
}

struct Proving<'a> {
    store: &'a Store,
    job: &'a CompiledJob,
    pool: &'a Pool,
    progress: &'a Progress,
    coverage: bool,
}

impl Proving<'_> {
    async fn everything(&self) -> Result<Tally, Failure> {
        let splits = plan::splits(self.store, self.job, &Part::Whole).await?;
        let ranges = splits.into_iter().flatten();
        let readers = self.store.config().readers.max(1);
        let tallies = futures::stream::iter(ranges)
            .map(|range| patiently(async move || self.range(range, None).await))
            .buffer_unordered(readers);
        tallies.try_fold(Tally::default(), added).await
    }

    /// A few rows from each of some random places: whatever follows a random token, and from the
    /// stratum's beginning where too little does.
    async fn sample(&self, rows: u64) -> Result<Tally, Failure> {
        let readers = self.store.config().readers.max(1);
        let tallies = futures::stream::iter(strata(rows, &mut rand::rng()))
            .map(|stratum| patiently(async move || self.stratum(&stratum).await))
            .buffer_unordered(readers);
        tallies.try_fold(Tally::default(), added).await
    }

    async fn stratum(&self, stratum: &Stratum) -> Result<Tally, SplitError> {
        let mut tally = Tally::default();
        for range in stratum.ranges() {
            let wanted = stratum.rows - tally.source_rows;
            if wanted > 0 {
                tally.add(self.range(range, Some(wanted)).await?);
            }
        }
        Ok(tally)
    }

    async fn range(&self, range: TokenRange, limit: Option<u64>) -> Result<Tally, SplitError> {
        let reading = Reading {
            carry: Carry::Proof,
            page_rows: limit.map(|rows| rows.clamp(10, 5_000) as i32),
            orphans: Some(tally::LISTED),
        };
        let batch_rows = self.store.config().batch_rows;
        let mut recheck = recheck::Recheck::new(self.job, self.pool, batch_rows, limit);
        let seen = self.walk(range, &reading, &mut recheck).await?;
        let mut tally = recheck.tally;
        tally.source_rows = seen.source_rows;
        if self.coverage {
            tally.take_orphans(self.job, &seen);
        }
        self.progress.read(seen.source_rows as usize);
        Ok(tally)
    }

    async fn walk(
        &self,
        range: TokenRange,
        reading: &Reading,
        visitor: &mut impl Visit,
    ) -> Result<super::run::walk::Seen, SplitError> {
        walk(self.store, self.job, range, reading, visitor).await
    }
}

async fn walk(
    store: &Store,
    job: &CompiledJob,
    range: TokenRange,
    reading: &Reading,
    visitor: &mut impl Visit,
) -> Result<super::run::walk::Seen, SplitError> {
    let never = AtomicBool::new(false);
    let no_keys = Arc::default();
    let walk = Walk {
        store,
        job,
        range: Some(range),
        keys: &no_keys,
        rewrite: false,
        unfinished: &[],
        batch_rows: store.config().batch_rows,
        stop: &never,
    };
    walk.visit(reading, visitor).await
}

/// Source rows without predictions and predictions without source rows, by hash alone.
async fn cover(store: &Store, job: &CompiledJob, progress: &Progress) -> Result<Tally, Failure> {
    let reading = Reading {
        orphans: Some(tally::LISTED),
        ..Reading::default()
    };
    let splits = plan::splits(store, job, &Part::Whole).await?;
    let tallies = futures::stream::iter(splits.into_iter().flatten())
        .map(|range| {
            let reading = &reading;
            patiently(async move || {
                let mut cover = cover::Cover::new(job);
                let seen = walk(store, job, range, reading, &mut cover).await?;
                let mut tally = cover.tally;
                tally.source_rows = seen.source_rows;
                tally.take_orphans(job, &seen);
                progress.read(seen.source_rows as usize);
                Ok(tally)
            })
        })
        .buffer_unordered(store.config().readers.max(1));
    tallies.try_fold(Tally::default(), added).await
}

async fn added(mut sum: Tally, tally: Tally) -> Result<Tally, Failure> {
    sum.add(tally);
    Ok(sum)
}

/// Looks again where Cassandra may answer better a little later: looking changes nothing.
async fn patiently(look: impl AsyncFn() -> Result<Tally, SplitError>) -> Result<Tally, Failure> {
    let mut attempt = 1;
    loop {
        match look().await {
            Err(SplitError::Store(error)) if error.kind.may_pass() && attempt < ATTEMPTS => {
                tracing::warn!(%error, "reading the range again");
                tokio::time::sleep(Duration::from_millis(200)).await;
                attempt += 1;
            }
            Ok(tally) => return Ok(tally),
            Err(SplitError::Store(error)) => return Err(error.into()),
            Err(other) => {
                let problem = Problem::new("verify.failed", other.to_string());
                return Err(Failure::system(problem));
            }
        }
    }
}
