//! Walks the splits of a pass, several at a time, and merges their parts in ring order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::{Begun, Fold, PART_BYTES, Scope, join::Join, past::Past, side::Side};
use crate::{
    codec::ring::TokenRange,
    domain::problem::Problem,
    engine::run::{pace::Pace, source::Reading, split_error::SplitError, walk::Walk},
    failpoint,
    failure::{Exit, Failure},
    process,
    store::{
        Store,
        driver::codec,
        evidence::passes::{PassPart, Rows},
        predictions::selects::Carry,
    },
};

/// Attempts at a range before its error ends the pass.
const ATTEMPTS: u32 = 3;

/// How this process walks a pass.
#[derive(Debug, Clone)]
pub struct Running {
    /// The limit on source rows per second.
    pub pace: Arc<Pace>,
    /// Set when the process is asked to stop; see [`Running::stop`].
    pub stopped: Arc<AtomicBool>,
    /// Counters for the terminal.
    pub progress: Arc<Progress>,
}

impl Running {
    /// Returns a state with a limit of `max_rate` source rows per second; `None` is unlimited.
    pub fn new(max_rate: Option<i32>) -> Self {
        Self {
            pace: Arc::new(Pace::new(max_rate)),
            stopped: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// Ends the walk between two pages; finished splits are kept.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.pace.close();
    }
}

/// How far a pass has come.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    splits: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    /// Returns the source rows read, the splits finished, and the number of splits.
    pub fn so_far(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.rows), load(&self.splits), load(&self.of))
    }
}

/// The result of a pass or of one of its splits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found<P> {
    /// The fold's aggregate.
    pub part: P,
    pub source_rows: u64,
    /// Version -> number of predictions whose source row is gone; the fold did not see them.
    pub orphaned: BTreeMap<i32, u64>,
    /// Number of labels whose source row is gone.
    pub stray_labels: u64,
    /// Number of splits that an earlier process had finished.
    #[serde(skip)]
    pub kept_splits: usize,
    /// Parts that took several rows; they must be removed at the end.
    #[serde(skip)]
    pub large: Vec<Rows>,
}

impl<P> Found<P> {
    fn add(&mut self, other: Self, merge: impl FnOnce(&mut P, P)) {
        merge(&mut self.part, other.part);
        self.source_rows += other.source_rows;
        self.stray_labels += other.stray_labels;
        self.kept_splits += other.kept_splits;
        self.large.extend(other.large);
        for (version, rows) in other.orphaned {
            *self.orphaned.entry(version).or_default() += rows;
        }
    }
}

/// Returns a warning if another process finished splits before: the result is as old as they are.
pub fn resumed<P>(begun: &Begun, found: &Found<P>) -> Option<String> {
    (found.kept_splits > 0).then(|| {
        format!(
            "resumed: {} of {} splits were read before, since {}: what was written meanwhile is not seen in them",
            found.kept_splits,
            begun.row.plan.splits.len(),
            begun.at().format("%Y-%m-%dT%H:%M:%SZ")
        )
    })
}

/// Walks all splits and returns the merged result.
///
/// # Errors
/// Cassandra's errors; `pass.too_large` if a part does not fit (exit 2); interrupted (exit 130).
pub async fn run<F: Fold>(
    store: &Store,
    scope: &Arc<Scope>,
    begun: &Begun,
    fold: &Arc<F>,
    running: &Running,
) -> Result<Found<F::Part>, Failure> {
    let splits = begun.row.plan.splits.clone().into_iter().zip(0_i32..);
    let of = &running.progress.of;
    of.store(begun.row.plan.splits.len() as u64, Ordering::Relaxed);
    let mut found = Found {
        part: fold.sum(),
        source_rows: 0,
        orphaned: BTreeMap::new(),
        stray_labels: 0,
        kept_splits: 0,
        large: Vec::new(),
    };
    let mut parts = futures::stream::iter(splits)
        .map(|(range, number)| {
            let split = Split {
                store: store.clone(),
                scope: Arc::clone(scope),
                begun: begun.clone(),
                fold: Arc::clone(fold),
                running: running.clone(),
                range,
                number,
            };
            tokio::spawn(split.part())
        })
        .buffered(store.config().readers.max(1));
    let mut failed = None;
    while let Some(part) = parts.next().await {
        let part = match part {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        match part {
            Ok(part) => found.add(part, |sum, part| fold.merge(sum, part)),
            Err(failure) => {
                // The others end soon, and keep what they have finished.
                running.stop();
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(found), Err)
}

struct Split<F> {
    store: Store,
    scope: Arc<Scope>,
    begun: Begun,
    fold: Arc<F>,
    running: Running,
    range: TokenRange,
    number: i32,
}

impl<F: Fold> Split<F> {
    /// Returns the stored part of the split, or walks the split.
    async fn part(self) -> Result<Found<F::Part>, Failure> {
        if self.running.stopped.load(Ordering::Relaxed) {
            return Err(interrupted(self.begun.kept));
        }
        let id = self.begun.id();
        let kept = match self.begun.kept {
            true => self.store.pass_part(id, self.number).await?,
            false => None,
        };
        let found = match kept {
            Some(part) => {
                let mut found = decoded::<F>(part)?;
                found.kept_splits = 1;
                found
            }
            None => {
                let found = self.patiently().await?;
                self.keep(found).await?
            }
        };
        let progress = &self.running.progress;
        progress
            .rows
            .fetch_add(found.source_rows, Ordering::Relaxed);
        progress.splits.fetch_add(1, Ordering::Relaxed);
        Ok(found)
    }

    async fn keep(&self, found: Found<F::Part>) -> Result<Found<F::Part>, Failure> {
        let bytes = codec::encode(&found);
        if bytes.len() > PART_BYTES {
            let message = format!(
                "the result for token range {}..{} takes {} bytes; the maximum is {PART_BYTES}",
                self.range.after,
                self.range.up_to,
                bytes.len()
            );
            return Err(Failure::input(
                Problem::new("pass.too_large", message)
                    .help("ask about fewer versions at a time, or without segments"),
            ));
        }
        if !self.begun.kept {
            return Ok(found);
        }
        let stands = self
            .store
            .keep_pass_part(self.begun.id(), self.number, bytes, process::timeuuid())
            .await?;
        failpoint::hit("after_pass_part");
        decoded::<F>(stands)
    }

    /// Walks the split, and retries errors of Cassandra that may be temporary: reading changes
    /// nothing.
    async fn patiently(&self) -> Result<Found<F::Part>, Failure> {
        let mut attempt = 1;
        loop {
            match self.walk().await {
                Ok(found) => return Ok(found),
                Err(SplitError::Store(error)) if error.kind.may_pass() && attempt < ATTEMPTS => {
                    tracing::warn!(%error, "reading the range again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure(error, self.begun.kept)),
            }
        }
    }

    async fn walk(&self) -> Result<Found<F::Part>, SplitError> {
        let no_keys = Arc::default();
        let walk = Walk {
            store: &self.store,
            job: &self.scope.job,
            range: Some(self.range),
            keys: &no_keys,
            rewrite: false,
            unfinished: &[],
            batch_rows: self.store.config().batch_rows,
            stop: &self.running.stopped,
        };
        let reading = Reading {
            carry: Carry::Proof,
            page_rows: None,
            orphans: Some(0),
        };
        let labels = self.scope.labels.as_ref();
        let side = labels.map(|labels| Side::labels(&self.store, labels, self.range));
        let past = self.scope.past.as_ref();
        let past = past.map(|table| Past::new(&self.store, &self.scope.job, table, self.range));
        let mut join = Join::new(&self.scope, &*self.fold, &self.running.pace, side, past);
        let seen = walk.visit(&reading, &mut join).await?;
        let (part, stray_labels) = join.finish().await?;
        Ok(Found {
            part,
            source_rows: seen.source_rows,
            orphaned: seen.orphaned,
            stray_labels,
            kept_splits: 0,
            large: Vec::new(),
        })
    }
}

fn decoded<F: Fold>(part: PassPart) -> Result<Found<F::Part>, Failure> {
    let mut found: Found<F::Part> = codec::decode(&part.bytes).map_err(|error| {
        let message = format!("a part of the pass can't be read: {error}");
        Failure::system(
            Problem::new("pass.corrupt", message)
                .help("it is gone after 6 hours; any other option makes another pass"),
        )
    })?;
    found.large.extend(part.rows);
    Ok(found)
}

/// Converts the error that ended a pass. `kept` says whether finished parts are stored.
pub fn failure(error: SplitError, kept: bool) -> Failure {
    match error {
        SplitError::Store(error) => error.into(),
        SplitError::Stopped => interrupted(kept),
        other => Failure::system(Problem::new("pass.failed", other.to_string())),
    }
}

fn interrupted(kept: bool) -> Failure {
    let problem = match kept {
        true => Problem::new(
            "pass.interrupted",
            "the pass was interrupted; what was finished of it is kept for 6 hours",
        )
        .help("the same command goes on"),
        false => Problem::new("pass.interrupted", "the pass was interrupted"),
    };
    Failure::new(Exit::Interrupted, problem)
}
