//! Verifies a prediction table: re-scores today's rows with the models that the predictions name,
//! and compares the results with the stored predictions.
//!
//! It uses the walk of a run ([`crate::engine::run::walk`]) over the same two tables. The walk shows each
//! source row together with its whole stored prediction; nothing is written. Memory is bounded as
//! in a run: one batch per reader, and one partition's predictions.

mod cover;
mod current;
mod recheck;
mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use crate::{
    codec::ring::TokenRange,
    domain::{job::CompiledJob, model::tolerance::Tolerance, problem::Problem, run::Part},
    engine::{
        jobs, models,
        run::{
            context::Progress,
            plan,
            source::Reading,
            split_error::SplitError,
            walk::{Visit, visit_range},
        },
        sample::{Stratum, strata},
    },
    failure::Failure,
    scorer::pool::Pool,
    store::{Store, predictions::selects::Carry},
};
pub use current::{CurrentFinding, CurrentReport, CurrentTally, Fault};
pub use tally::{Absent, Difference, Tally, VersionTally};

/// Attempts at a range before its error ends the verification.
const ATTEMPTS: u32 = 3;

/// A request for a verification.
#[derive(Debug, Clone)]
pub struct VerifySpec {
    pub job: String,
    /// Restricts the verification to these of the job's versions.
    pub versions: Option<BTreeSet<i32>>,
    /// Approximate number of source rows to check; `None` checks all.
    pub sample: Option<u64>,
    /// Whether to look for rows without predictions and predictions without rows as well, over the
    /// whole ring.
    pub coverage: bool,
    /// How far apart numbers may be and still count as equal.
    pub tolerance: Tolerance,
}

/// The result of a verification.
#[derive(Debug)]
pub struct Report {
    /// The job, with the versions that were checked.
    pub job: CompiledJob,
    /// The job's revision.
    pub revision: i32,
    /// Aliases of the manifest, and the versions that they point to now.
    pub aliases: BTreeMap<String, i32>,
    /// Findings about the re-scored rows.
    pub tally: Tally,
    /// Coverage of the whole ring, if requested.
    pub coverage: Option<Tally>,
    /// Findings about the table of current predictions, if coverage was requested and the job keeps
    /// such a table.
    pub current: Option<CurrentReport>,
    /// Runs that were open meanwhile: rows that they had not reached appear as stale or missing.
    pub open_runs: BTreeSet<Uuid>,
}

/// Verifies the stored predictions. `progress` counts source rows.
///
/// # Errors
/// Those of [`jobs::prepare`]; a model that can't be loaded; Cassandra's errors.
pub async fn verify(
    store: &Store,
    wish: &VerifySpec,
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
        tolerance: wish.tolerance,
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
    let current = match wish.coverage {
        true => current::compare(store, &job).await?,
        false => None,
    };
    open_runs.extend(self::open_runs(store, &job).await?);
    Ok(Report {
        job,
        revision: prepared.revision,
        aliases: prepared.aliases,
        tally,
        coverage,
        current,
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
    tolerance: Tolerance,
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

    /// Checks a few rows at each of several random places: the rows that follow a random token. If
    /// too few follow, it continues at the stratum's beginning.
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
        let mut recheck =
            recheck::Recheck::new(self.job, self.pool, self.tolerance, batch_rows, limit);
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
    ) -> Result<crate::engine::run::walk::JoinSummary, SplitError> {
        visit_range(self.store, self.job, range, reading, visitor).await
    }
}

/// Finds source rows without predictions and predictions without source rows; reads hashes only.
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
                let seen = visit_range(store, job, range, reading, &mut cover).await?;
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

/// Calls `look`, and retries errors of Cassandra that may be temporary: reading changes nothing.
async fn patiently<T>(look: impl AsyncFn() -> Result<T, SplitError>) -> Result<T, Failure> {
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
