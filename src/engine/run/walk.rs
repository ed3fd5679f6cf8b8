//! Walks the source and the prediction table together. [`Walk::run`] collects what is pending;
//! [`Walk::visit`] shows every row to a visitor.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    position::{Position, row_identity},
    source::{self, AskedKey, Reading},
    split_error::SplitError,
    stored::{Keep, Orphans, StoredPredictions},
};
use crate::{
    codec::ring::TokenRange,
    domain::{job::CompiledJob, run::Counts},
    engine::predict::Batch,
    store::Store,
};

/// A part of the source, and how to walk it.
pub struct Walk<'a> {
    pub store: &'a Store,
    /// The columns that are read, and the versions whose predictions are looked up.
    pub job: &'a CompiledJob,
    /// The token range; `None` walks `keys`.
    pub range: Option<TokenRange>,
    /// Keys in token order.
    pub keys: &'a Arc<Vec<AskedKey>>,
    /// Whether unchanged rows are pending as well.
    pub rewrite: bool,
    /// Ranges where unchanged rows are pending in any case. Used for keys; a split by range sets
    /// `rewrite` for all its rows.
    pub unfinished: &'a [TokenRange],
    /// Rows per batch.
    pub batch_rows: usize,
    /// Set when the process is asked to stop.
    pub stop: &'a AtomicBool,
}

/// Passes the rows of a token range to `visitor`, beside the stored predictions of the job's versions.
///
/// For passes that read only: they hold no claim, and dropping the future stops them.
///
/// # Errors
/// As [`Walk::visit`].
pub async fn visit_range(
    store: &Store,
    job: &CompiledJob,
    range: TokenRange,
    reading: &Reading,
    visitor: &mut impl Visit,
) -> Result<JoinSummary, SplitError> {
    let walk = Walk {
        store,
        job,
        range: Some(range),
        keys: &Arc::default(),
        rewrite: false,
        unfinished: &[],
        batch_rows: store.config().batch_rows,
        stop: &AtomicBool::new(false),
    };
    walk.visit(reading, visitor).await
}

/// Receives batches.
pub trait Sink: Send {
    /// Called when a page of source rows has been processed.
    fn arrived(&self, page: &Arrived);

    /// Called for each row; returns whether its outputs are counted, too.
    fn visited(&mut self, _row: &SourceRow<'_>) -> bool {
        false
    }

    /// Takes a batch and leaves an empty one; waits while too many are in flight.
    fn push(&mut self, batch: &mut Batch) -> impl Future<Output = Result<(), SplitError>> + Send;

    /// Takes predictions whose source row is gone, if the job deletes them.
    fn orphaned(
        &mut self,
        _orphans: &Orphans,
    ) -> impl Future<Output = Result<(), SplitError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Statistics of a page of the source whose rows have all been visited.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    pub rows: usize,
    /// Time spent waiting for this page, and for the predictions of the same range.
    pub waited: Duration,
    /// Time spent processing it, without the time in which batches were handed on.
    pub decoded: Duration,
}

/// A row of the source, and its place.
pub struct SourceRow<'a> {
    /// The key columns, then the job's columns.
    pub cells: &'a [Option<&'a [u8]>],
    /// The position of its partition.
    pub position: &'a Position,
    /// The row's identity within the partition, as [`StoredPredictions`] uses it.
    pub identity: u128,
}

impl SourceRow<'_> {
    /// Returns a hash of its key, the same whoever reads it.
    pub fn hash(&self) -> u64 {
        // Both are hashes: of the partition key, and of the clustering columns.
        self.position.token as u64 ^ self.identity as u64
    }
}

/// How a walk continues after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the next row.
    Row,
    /// With [`Visit::flush`], then the next row.
    Flush,
    /// Not at all: the visitor has seen enough.
    End,
}

/// Receives each source row in walk order, with its stored predictions.
pub trait Visit: Send {
    /// Called when a page of source rows has been processed.
    fn arrived(&self, page: &Arrived);

    /// Called before the rows of the next partition; partitions come in the order of their
    /// positions.
    fn enter(
        &mut self,
        _position: &Position,
    ) -> impl Future<Output = Result<(), SplitError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Receives one row.
    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next;

    /// Takes predictions whose source row is gone, in portions, if the job deletes them.
    fn orphaned(
        &mut self,
        _orphans: &Orphans,
    ) -> impl Future<Output = Result<(), SplitError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Hands on what was collected; called once more at the end.
    fn flush(&mut self) -> impl Future<Output = Result<(), SplitError>> + Send;
}

/// What a completed walk has read.
pub struct JoinSummary {
    pub source_rows: u64,
    /// Number of predictions whose source row is gone, by version, up to where the walk ended.
    pub orphaned: BTreeMap<i32, u64>,
    /// Keys of the first orphans, if any were to be kept.
    pub orphans: Option<Orphans>,
}

impl Walk<'_> {
    /// Walks to the end and collects what is pending. The returned counts cover source rows,
    /// unchanged rows and orphans, and under `rejected` the rows stored as rejected and unchanged.
    ///
    /// # Errors
    /// Cassandra's errors, the sink's, and [`SplitError::Stopped`].
    pub async fn run(&self, reading: &Reading, sink: &mut impl Sink) -> Result<Counts, SplitError> {
        let mut gather = Gather {
            walk: self,
            sink,
            batch: Batch::new(self.job),
            counts: Counts::default(),
            scratch: Vec::new(),
        };
        let seen = self.visit(reading, &mut gather).await?;
        let mut counts = gather.counts;
        counts.source_rows = seen.source_rows;
        counts.orphaned = seen.orphaned.values().sum();
        Ok(counts)
    }

    /// Walks until `visitor` has seen enough, or to the end.
    ///
    /// # Errors
    /// Those of [`Walk::run`].
    pub async fn visit(
        &self,
        reading: &Reading,
        visitor: &mut impl Visit,
    ) -> Result<JoinSummary, SplitError> {
        let job = self.job;
        let mut source = source::source_pages(self.store, job, self.keys, self.range, reading);
        let predictions = source::stored_pages(self.store, job, self.keys, self.range, reading);
        let keep = match (reading.orphans, job.rules.delete_orphans) {
            (Some(first), _) => Keep::First(first),
            (None, true) => Keep::All,
            (None, false) => Keep::First(0),
        };
        let mut stored = StoredPredictions::new(job, predictions, reading.carry, keep);
        let (mut source_rows, mut ended_early) = (0, false);
        let (mut position, mut current) = (Position::default(), None::<Position>);
        let mut scratch = Vec::new();
        let (key_len, partition_key_len) = (job.key.len(), job.partition_key_len);
        'pages: loop {
            let asked = Instant::now();
            let Some(page) = source.recv().await.transpose()? else {
                break;
            };
            let began = Instant::now();
            let (waited_before, mut handing) = (stored.waited, Duration::ZERO);
            if self.stop.load(Ordering::Relaxed) {
                return Err(SplitError::Stopped);
            }
            let mut cells = Vec::with_capacity(key_len + job.columns.len());
            for row in 0..page.rows() {
                cells.clear();
                cells.extend(page.row(row));
                if cells[..key_len].contains(&None) {
                    // A partition that has only static columns is not a row.
                    continue;
                }
                position.set(cells[..partition_key_len].iter().copied())?;
                if current.as_ref() != Some(&position) {
                    while !stored.seek(&position).await? {
                        hand_on(&mut stored, visitor).await?;
                    }
                    visitor.enter(&position).await?;
                    current.get_or_insert_default().clone_from(&position);
                }
                let clustering = cells[partition_key_len..key_len].iter().copied();
                let identity =
                    row_identity(&job.key[partition_key_len..], clustering, &mut scratch);
                stored.mark(identity);
                source_rows += 1;
                let row = SourceRow {
                    cells: &cells,
                    position: &position,
                    identity,
                };
                match visitor.row(&row, &stored) {
                    Next::Row => {}
                    Next::Flush => {
                        let handed = Instant::now();
                        visitor.flush().await?;
                        handing += handed.elapsed();
                    }
                    Next::End => {
                        ended_early = true;
                        break 'pages;
                    }
                }
            }
            let waited = stored.waited - waited_before;
            visitor.arrived(&Arrived {
                rows: page.rows(),
                waited: began - asked + waited,
                decoded: began.elapsed().saturating_sub(waited + handing),
            });
        }
        if !ended_early {
            while !stored.finish().await? {
                hand_on(&mut stored, visitor).await?;
            }
        }
        hand_on(&mut stored, visitor).await?;
        visitor.flush().await?;
        Ok(JoinSummary {
            source_rows,
            orphaned: std::mem::take(&mut stored.orphaned),
            orphans: stored.orphans.take(),
        })
    }

    fn is_unfinished(&self, token: i64) -> bool {
        self.unfinished.iter().any(|range| range.contains(token))
    }
}

async fn hand_on(
    stored: &mut StoredPredictions<'_>,
    visitor: &mut impl Visit,
) -> Result<(), SplitError> {
    match stored.take_orphans() {
        Some(orphans) => visitor.orphaned(&orphans).await,
        None => Ok(()),
    }
}

/// Collects pending rows into batches.
struct Gather<'w, S> {
    walk: &'w Walk<'w>,
    sink: &'w mut S,
    batch: Batch,
    counts: Counts,
    scratch: Vec<u8>,
}

impl<S: Sink> Visit for Gather<'_, S> {
    fn arrived(&self, page: &Arrived) {
        self.sink.arrived(page);
    }

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let rewrite = self.walk.rewrite || self.walk.is_unfinished(row.position.token);
        let before = self.batch.rows();
        self.batch.offer(
            self.walk.job,
            row.cells,
            rewrite,
            Some(&stored.standing(row.identity)),
            &mut self.counts,
            &mut self.scratch,
        );
        if self.sink.visited(row) && self.batch.rows() > before {
            self.batch.counted.push(before as u32);
        }
        match self.batch.is_full(self.walk.batch_rows) {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn orphaned(&mut self, orphans: &Orphans) -> Result<(), SplitError> {
        self.sink.orphaned(orphans).await
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        if self.batch.rows() == 0 {
            return Ok(());
        }
        self.sink.push(&mut self.batch).await
    }
}
