//! Walking the source and the prediction table together: [`Walk::run`] gathers what is pending,
//! [`Walk::visit`] shows every row to whoever asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    batch::Batch,
    source::{self, AskedKey, Reading},
    split::SplitError,
    stored::{Orphans, Position, StoredPredictions, row_identity},
};
use crate::{
    domain::{job::CompiledJob, ring::TokenRange, run::Counts},
    store::Store,
};

/// A part of the source, and how to look at it.
pub struct Walk<'a> {
    /// The database.
    pub store: &'a Store,
    /// What is read, and which versions are asked about.
    pub job: &'a CompiledJob,
    /// The part; `None`: the keys.
    pub range: Option<TokenRange>,
    /// Keys in token order.
    pub keys: &'a Arc<Vec<AskedKey>>,
    /// Unchanged rows are pending, too.
    pub rewrite: bool,
    /// Ranges where they are in any case (for keys; a split by range knows that for all its rows).
    pub unfinished: &'a [TokenRange],
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Set when the process is asked to stop.
    pub stop: &'a AtomicBool,
}

/// Where batches go.
pub trait Sink: Send {
    /// A page of source rows was seen.
    fn arrived(&self, page: &Arrived);

    /// Takes a batch, leaving an empty one; waits while too many are under way.
    fn push(&mut self, batch: &mut Batch) -> impl Future<Output = Result<(), SplitError>> + Send;
}

/// A page of the source, once all its rows were seen.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// Source rows.
    pub rows: usize,
    /// The walk waited for it, and for the predictions of the same range.
    pub waited: Duration,
    /// The walk worked on it; without the time in which batches were handed on.
    pub decoded: Duration,
}

/// What a walk found beside its batches.
pub struct Walked {
    /// Source rows, unchanged rows, orphans; of `rejected` those that stand unchanged.
    pub counts: Counts,
    /// Predictions to delete, where the job says so.
    pub orphans: Option<Orphans>,
}

/// A row of the source, and where it stands.
pub struct SourceRow<'a> {
    /// The key's and then the job's columns.
    pub cells: &'a [Option<&'a [u8]>],
    /// Its partition.
    pub position: &'a Position,
    /// Itself within the partition, as [`StoredPredictions`] knows it.
    pub identity: u128,
}

/// How a walk goes on after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the next row.
    Row,
    /// With [`Visit::flush`] first.
    Flush,
    /// Not at all: enough was seen.
    End,
}

/// Sees each source row in the walk's order, with what stands for it.
pub trait Visit: Send {
    /// A page of source rows was seen.
    fn arrived(&self, page: &Arrived);

    /// The rows that follow are of another partition; partitions come in the order of their
    /// positions.
    fn enter(
        &mut self,
        _position: &Position,
    ) -> impl Future<Output = Result<(), SplitError>> + Send {
        std::future::ready(Ok(()))
    }

    /// One row.
    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next;

    /// Hands on what was gathered; called once more at the end.
    fn flush(&mut self) -> impl Future<Output = Result<(), SplitError>> + Send;
}

/// What was read, once all rows were seen.
pub struct Seen {
    /// Source rows.
    pub source_rows: u64,
    /// Predictions whose source row is gone, by version; up to where the walk ended.
    pub orphaned: BTreeMap<i32, u64>,
    /// Keys of those that were to be kept.
    pub orphans: Option<Orphans>,
}

impl Walk<'_> {
    /// Walks to the end, gathering what is pending.
    ///
    /// # Errors
    /// Cassandra's, the sink's, and [`SplitError::Stopped`].
    pub async fn run(&self, reading: &Reading, sink: &mut impl Sink) -> Result<Walked, SplitError> {
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
        Ok(Walked {
            counts,
            orphans: seen.orphans,
        })
    }

    /// Walks until `visitor` has seen enough, or to the end.
    ///
    /// # Errors
    /// As [`Walk::run`].
    pub async fn visit(
        &self,
        reading: &Reading,
        visitor: &mut impl Visit,
    ) -> Result<Seen, SplitError> {
        let job = self.job;
        let mut source = source::source_pages(self.store, job, self.keys, self.range, reading);
        let predictions = source::stored_pages(self.store, job, self.keys, self.range, reading);
        let all = if job.rules.delete_orphans {
            usize::MAX
        } else {
            0
        };
        let kept = reading.orphans.unwrap_or(all);
        let mut stored = StoredPredictions::new(job, predictions, reading.carry, kept);
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
                    // A partition that has static columns only is no row.
                    continue;
                }
                position.set(cells[..partition_key_len].iter().copied())?;
                if current.as_ref() != Some(&position) {
                    stored.seek(&position).await?;
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
            stored.finish().await?;
        }
        visitor.flush().await?;
        Ok(Seen {
            source_rows,
            orphaned: std::mem::take(&mut stored.orphaned),
            orphans: stored.orphans.take(),
        })
    }

    fn is_unfinished(&self, token: i64) -> bool {
        self.unfinished.iter().any(|range| range.contains(token))
    }
}

/// Gathers pending rows into batches.
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
        self.batch.offer(
            self.walk.job,
            row.cells,
            rewrite,
            &stored.of(row.identity),
            &mut self.counts,
            &mut self.scratch,
        );
        match self.batch.rows() >= self.walk.batch_rows {
            true => Next::Flush,
            false => Next::Row,
        }
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        if self.batch.rows() == 0 {
            return Ok(());
        }
        self.sink.push(&mut self.batch).await
    }
}
