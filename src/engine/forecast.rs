//! Passes a sample of the source's rows through the job's mapping to forecast what a run would
//! reject.
//!
//! It uses the batch's own functions, [`append_row`] and [`prepare`], without scoring. What the model
//! itself refuses or answers with NaN shows only in the run. Nothing is written. Few rows are read, from random
//! places, as many places at a time as the job has readers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, TryStreamExt};
use rand::{SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::run::{
    source::{Reading, source_pages},
    split_error::SplitError,
    stored::StoredPredictions,
    walk::{Arrived, Next, SourceRow, Visit, visit_range},
};
use crate::{
    domain::{
        job::{CompiledJob, Guard, hash::append_row, prepare::TypedRows, rejection::Rejection},
        problem::Problem,
        run::{Part, Scope, forecast::Forecast},
    },
    engine::{
        models,
        predict::{Stored, TENSOR_BYTES, prepare},
        sample::{Stratum, strata, strata_at},
    },
    failure::Failure,
    scorer::preparers::Preparers,
    store::{Store, driver::error::StoreError, runs::rejected_rows::key_text_of_cells},
};

/// Rows that the guard of a run reads, and in how many places. Both are small because every run
/// waits for the guard.
const GUARD_ROWS: u64 = 512;
const GUARD_PLACES: u64 = 16;
/// Where images, bytes or texts are prepared, fewer rows are read: those whose tensors take so many
/// bytes, but at least so many rows.
const GUARD_BYTES: usize = 8 << 20;
const GUARD_LEAST_ROWS: u64 = 64;
/// Number of rounds. A place that holds more than its share is read again where others hold less.
const ROUNDS: usize = 4;

/// Forecasts what a run of `job` would reject of about `rows` source rows; the prediction table
/// need not exist.
///
/// # Errors
/// Errors of Cassandra.
pub async fn forecast(store: &Store, job: &CompiledJob, rows: u64) -> Result<Forecast, Failure> {
    let preparers = models::preparers(store.config(), store.config().scoring_threads);
    let look = |stratum| source_only(store, (job, preparers.as_ref()), stratum).boxed();
    let strata = strata(rows, &mut rand::rng());
    Ok(sampled(store, rows, strata, look).await?)
}

/// Returns why a run over `scope` must not begin, judged by a sample of its rows. A source that
/// answers slowly does not delay a run for long.
///
/// # Errors
/// Why no rows could be read in time.
pub async fn guard(
    store: &Store,
    job: &CompiledJob,
    scope: &Scope,
    run_id: Uuid,
) -> Result<Option<String>, String> {
    let patience = store.settings().lease.max(Duration::from_secs(10)) / 2;
    match tokio::time::timeout(patience, reason_to_stop(store, job, scope, run_id)).await {
        Ok(stopped) => stopped.map_err(|failure| failure.to_string()),
        Err(_) => Err(format!(
            "the rows looked at beforehand did not arrive within {} s",
            patience.as_secs()
        )),
    }
}

/// Returns why the run would reject most of what it scores, if it would. The places depend on the
/// run id only, so every process that plans the run sees the same ones.
async fn reason_to_stop(
    store: &Store,
    job: &CompiledJob,
    scope: &Scope,
    run_id: Uuid,
) -> Result<Option<String>, Failure> {
    if job.rules.guard == Guard::Off || scope.part != Part::Whole {
        return Ok(None);
    }
    let preparers = models::preparers(store.config(), store.config().scoring_threads);
    let look = |stratum| with_standing(store, (job, preparers.as_ref()), stratum).boxed();
    let mut random = StdRng::seed_from_u64(run_id.as_u64_pair().0);
    let rows = guard_rows(job);
    let strata = strata_at(GUARD_PLACES, rows, &mut random);
    let forecast = sampled(store, rows, strata, look)
        .await
        .map_err(|error| match error {
            SplitError::Store(error) => Failure::from(error),
            other => Failure::system(Problem::new("run.guard", other.to_string())),
        })?;
    let source = &job.source;
    let table = store.estimated_partitions(&source.keyspace, &source.table);
    Ok(forecast.stops(&job.rules, table.await?.unwrap_or(0)))
}

/// Returns how many rows the guard reads of a job.
fn guard_rows(job: &CompiledJob) -> u64 {
    let bytes = |version| TypedRows::new(version).prepared_row_bytes();
    let most = job.versions.iter().map(bytes).max().unwrap_or_default();
    let rows = GUARD_BYTES.checked_div(most).map(|rows| rows as u64);
    rows.map_or(GUARD_ROWS, |rows| rows.clamp(GUARD_LEAST_ROWS, GUARD_ROWS))
}

/// What one place showed, and whether all of its rows have been read.
type Look = (Forecast, bool);

/// Reads all places; then reads again those that hold more, as long as others held fewer rows than
/// their share.
async fn sampled<'a, E>(
    store: &Store,
    rows: u64,
    mut strata: Vec<Stratum>,
    look: impl Fn(Stratum) -> futures::future::BoxFuture<'a, Result<Look, E>>,
) -> Result<Forecast, E> {
    let mut sum = Forecast {
        is_whole: true,
        ..Forecast::default()
    };
    for round in 1.. {
        let looks: Vec<(Stratum, Look)> = futures::stream::iter(strata)
            .map(|stratum| {
                let looking = look(stratum.clone());
                async move { Ok::<_, E>((stratum, looking.await?)) }
            })
            .buffered(store.config().readers.max(1))
            .try_collect()
            .await?;
        let mut cut = Vec::new();
        for (stratum, (forecast, is_whole)) in looks {
            match is_whole {
                true => sum.add(forecast),
                false => cut.push((stratum, forecast)),
            }
        }
        let seen: u64 = cut.iter().map(|(_, forecast)| forecast.rows).sum();
        let missing = match round < ROUNDS {
            true => rows.saturating_sub(sum.rows + seen),
            false => 0,
        };
        let places = (cut.len() as u64).max(1);
        strata = Vec::new();
        for ((mut stratum, forecast), at) in cut.into_iter().zip(0..) {
            match missing / places + u64::from(at < missing % places) {
                0 => {
                    sum.is_whole = false;
                    sum.add(forecast);
                }
                more => {
                    stratum.rows += more;
                    strata.push(stratum);
                }
            }
        }
        if strata.is_empty() {
            break;
        }
    }
    Ok(sum)
}

async fn source_only(
    store: &Store,
    (job, preparers): (&CompiledJob, Option<&Preparers>),
    stratum: Stratum,
) -> Result<Look, StoreError> {
    let mut looking = Looking::new(job, preparers, stratum.rows);
    let no_keys = Arc::default();
    for range in stratum.ranges() {
        let reading = looking.reading();
        let mut pages = source_pages(store, job, &no_keys, Some(range), &reading);
        while let Some(page) = pages.recv().await.transpose()? {
            for row in 0..page.rows() {
                let cells: Vec<_> = page.row(row).collect();
                if cells[..job.key.len()].contains(&None) {
                    // A partition that has static columns only contains no row.
                    continue;
                }
                if looking.left == 0 {
                    return Ok((looking.settled().await, false));
                }
                if looking.see(&cells, |_| None) {
                    looking.settle().await;
                }
            }
        }
    }
    Ok((looking.settled().await, true))
}

async fn with_standing(
    store: &Store,
    (job, preparers): (&CompiledJob, Option<&Preparers>),
    stratum: Stratum,
) -> Result<Look, SplitError> {
    let mut looking = Looking::new(job, preparers, stratum.rows);
    for range in stratum.ranges() {
        let reading = looking.reading();
        visit_range(store, job, range, &reading, &mut looking).await?;
        if looking.is_cut {
            return Ok((looking.settled().await, false));
        }
    }
    Ok((looking.settled().await, true))
}

/// Passes rows to the mapping of each version.
struct Looking<'a> {
    job: &'a CompiledJob,
    /// What prepares cells; `None`: this process.
    preparers: Option<&'a Preparers>,
    left: u64,
    /// At least one row exists beyond the limit.
    is_cut: bool,
    forecast: Forecast,
    /// By version.
    waiting: BTreeMap<i32, Waiting>,
    /// Bytes of the cells and tensors of all that wait.
    bytes: usize,
    scratch: Vec<u8>,
}

/// Rows whose content must be prepared to know whether it can be.
struct Waiting {
    rows: TypedRows,
    /// Each row's key, and whether it is stored as rejected.
    seen: Vec<(BTreeMap<String, String>, bool)>,
}

impl<'a> Looking<'a> {
    fn new(job: &'a CompiledJob, preparers: Option<&'a Preparers>, rows: u64) -> Self {
        let waiting = job.versions.iter().map(|version| {
            let waiting = Waiting {
                rows: TypedRows::new(version),
                seen: Vec::new(),
            };
            (version.ready.version, waiting)
        });
        Self {
            job,
            preparers,
            left: rows,
            is_cut: false,
            forecast: Forecast::default(),
            waiting: waiting.collect(),
            bytes: 0,
            scratch: Vec::new(),
        }
    }

    fn reading(&self) -> Reading {
        Reading {
            page_rows: Some((self.left + 1).clamp(10, 1_000) as i32),
            orphans: Some(0),
            ..Reading::default()
        }
    }

    /// Looks at a row. `stored`: its prediction by a version. Returns whether as many rows wait as
    /// should be prepared at once.
    fn see(&mut self, cells: &[Option<&[u8]>], stored: impl Fn(i32) -> Option<Stored>) -> bool {
        let job = self.job;
        let (key, columns) = cells.split_at(job.key.len());
        for version in &job.versions {
            let number = version.ready.version;
            let Some(waiting) = self.waiting.get_mut(&number) else {
                continue;
            };
            let rows = &mut waiting.rows;
            let (input_hash, outcome) = append_row(version, columns, rows, &mut self.scratch);
            let stored = stored(number);
            let was_rejected = stored.is_some_and(|stored| stored.rejected);
            // Its prediction proves that it can be prepared.
            let is_current =
                stored.is_some_and(|stored| !stored.rejected && stored.input_hash == input_hash);
            let key = || key_text_of_cells(job, key.iter().copied());
            if outcome.is_ok() && rows.prepared_row_bytes() > 0 && !is_current {
                waiting.seen.push((key(), was_rejected));
                self.bytes += rows.prepared_row_bytes();
                self.bytes += columns
                    .iter()
                    .flatten()
                    .map(|cell| cell.len())
                    .sum::<usize>();
            } else {
                if outcome.is_ok() {
                    rows.truncate(rows.rows() - 1);
                }
                self.forecast.take(number, outcome, was_rejected, key);
            }
        }
        self.forecast.count_row();
        self.left -= 1;
        self.bytes >= TENSOR_BYTES
    }

    /// Prepares the rows that wait, and counts those that cannot be.
    async fn settle(&mut self) {
        self.bytes = 0;
        for (number, waiting) in &mut self.waiting {
            let prepared = prepare(self.preparers, &mut waiting.rows).await;
            let rejected = prepared.unwrap_or_else(|error| {
                let why = || Rejection::new("unprepared", error.to_string());
                (0..waiting.seen.len()).map(|row| (row, why())).collect()
            });
            let mut rejected = rejected.into_iter().peekable();
            waiting.rows.clear();
            for (row, (key, stands)) in waiting.seen.drain(..).enumerate() {
                let outcome = match rejected.next_if(|(rejected, _)| *rejected == row) {
                    Some((_, rejection)) => Err(rejection),
                    None => Ok(()),
                };
                self.forecast.take(*number, outcome, stands, || key);
            }
        }
    }

    /// Returns the forecast, once nothing waits.
    async fn settled(mut self) -> Forecast {
        self.settle().await;
        self.forecast
    }
}

impl Visit for Looking<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        if self.left == 0 {
            self.is_cut = true;
            return Next::End;
        }
        let is_full = self.see(row.cells, |version| stored.get(row.identity, version));
        match is_full {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        self.settle().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
