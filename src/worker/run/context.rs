//! What all splits of a run share in this process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{pace::Pace, source::AskedKey, spent::Spent};
use crate::{
    domain::{job::CompiledJob, ring::TokenRange, run::Run},
    metrics::RowCounters,
    scorer::pool::Pool,
    store::{Store, predictions::PredictionWriter},
};

/// A run as this process works on it.
pub struct RunContext {
    /// The database.
    pub store: Store,
    /// The row of `runs`, in state running.
    pub run: Run,
    /// `run_base`: predictions carry `base + 2 x epoch`, microseconds.
    pub base: i64,
    /// What is read, fed and written.
    pub job: CompiledJob,
    /// The models, in the order of the job's versions.
    pub scorer: Arc<Pool>,
    /// The target's statements.
    pub writer: PredictionWriter,
    /// The keys of a run over keys, in token order.
    pub keys: Arc<Vec<AskedKey>>,
    /// Ranges where unchanged rows are written, too.
    pub unfinished: Vec<TokenRange>,
    /// Rows a second.
    pub pace: Pace,
    /// Rows a call of the scorer.
    pub batch_rows: usize,
    /// For the terminal.
    pub progress: Arc<Progress>,
    /// For metrics.
    pub rows: RowCounters,
}

/// Rows so far, for a progress bar: what this process did, retried splits counted again.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    written: AtomicU64,
    rejected: AtomicU64,
    /// Where the time went.
    pub spent: Spent,
}

impl Progress {
    /// Source rows arrived.
    pub fn read(&self, rows: usize) {
        self.read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Predictions, and rejections, were acknowledged.
    pub fn wrote(&self, scored: u64, rejected: u64) {
        self.written.fetch_add(scored, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    /// Source rows read, predictions written, rows rejected.
    pub fn so_far(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.read), load(&self.written), load(&self.rejected))
    }
}
