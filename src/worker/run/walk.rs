//! Walking the source and the prediction table together, gathering what is pending.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    batch::Batch,
    source::{self, AskedKey},
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
    /// Source rows arrived.
    fn arrived(&self, rows: usize);

    /// Takes a batch; waits while too many are under way.
    fn push(&mut self, batch: Batch) -> impl Future<Output = Result<(), SplitError>> + Send;
}

/// What a walk found beside its batches.
pub struct Walked {
    /// Source rows, unchanged rows, orphans; of `rejected` those that stand unchanged.
    pub counts: Counts,
    /// Predictions to delete, where the job says so.
    pub orphans: Option<Orphans>,
}

impl Walk<'_> {
    /// Walks to the end.
    ///
    /// # Errors
    /// Cassandra's, the sink's, and [`SplitError::Stopped`].
    pub async fn run(&self, sink: &mut impl Sink) -> Result<Walked, SplitError> {
        let job = self.job;
        let mut source = source::source_pages(self.store, job, self.keys, self.range);
        let predictions = source::stored_pages(self.store, job, self.keys, self.range);
        let mut stored = StoredPredictions::new(job, predictions);
        let mut batch = Batch::new(job);
        let mut counts = Counts::default();
        let (mut position, mut current) = (Position::default(), None::<Position>);
        let mut scratch = Vec::new();
        let (key_len, partition_key_len) = (job.key.len(), job.partition_key_len);
        while let Some(page) = source.recv().await.transpose()? {
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
                    current.get_or_insert_default().clone_from(&position);
                }
                let clustering = cells[partition_key_len..key_len].iter().copied();
                let identity =
                    row_identity(&job.key[partition_key_len..], clustering, &mut scratch);
                stored.mark(identity);
                counts.source_rows += 1;
                let rewrite = self.rewrite || self.is_unfinished(position.token);
                let stands = |version| stored.get(identity, version);
                batch.offer(job, &cells, rewrite, stands, &mut counts, &mut scratch);
                if batch.rows() >= self.batch_rows {
                    let full = std::mem::replace(&mut batch, Batch::new(job));
                    sink.push(full).await?;
                }
            }
            sink.arrived(page.rows());
        }
        stored.finish().await?;
        if batch.rows() > 0 {
            sink.push(batch).await?;
        }
        counts.orphaned = stored.orphaned;
        Ok(Walked {
            counts,
            orphans: stored.orphans,
        })
    }

    fn is_unfinished(&self, token: i64) -> bool {
        self.unfinished.iter().any(|range| range.contains(token))
    }
}
