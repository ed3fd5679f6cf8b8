//! What all splits of a run share in this process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{outbox::Outbox, pace::Pace, profiling::Profiling, source::AskedKey, spent::Spent};
use crate::{
    codec::ring::TokenRange,
    domain::{job::CompiledJob, run::Run},
    metrics::RowCounters,
    scorer::pool::Pool,
    store::{Store, predictions::PredictionWriter},
};

/// A run as this process works on it.
pub struct RunContext {
    pub store: Store,
    /// The row of `runs`, in state `running`.
    pub run: Run,
    /// `run_base`, in microseconds: predictions carry the timestamp `base + 2 x epoch`.
    pub base: i64,
    /// The compiled job: what is read, fed to the models and written.
    pub job: CompiledJob,
    /// The models, in the order of the job's versions.
    pub scorer: Arc<Pool>,
    /// Writes predictions with the target's prepared statements.
    pub writer: PredictionWriter,
    /// Where predictions are sent once they are written, if anywhere.
    pub outbox: Option<Outbox>,
    /// The keys of a run over keys, in token order.
    pub keys: Arc<Vec<AskedKey>>,
    /// Ranges where unchanged rows are written as well.
    pub unfinished: Vec<TokenRange>,
    /// The run's limit on rows per second.
    pub pace: Pace,
    /// What the run counts of the rows that it reads, if anything.
    pub profiling: Option<Profiling>,
    /// Rows per call of the scorer.
    pub batch_rows: usize,
    /// Counters for the terminal's progress bar.
    pub progress: Arc<Progress>,
    /// Counters for metrics.
    pub rows: RowCounters,
}

/// Row counts so far, for a progress bar. They cover the work of this process; retried splits count
/// again.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    written: AtomicU64,
    rejected: AtomicU64,
    /// Time spent in each stage.
    pub spent: Spent,
}

impl Progress {
    /// Counts source rows that were read.
    pub fn read(&self, rows: usize) {
        self.read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Counts predictions and rejections that Cassandra acknowledged.
    pub fn wrote(&self, scored: u64, rejected: u64) {
        self.written.fetch_add(scored, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    /// Returns the source rows read, the predictions written and the rows rejected.
    pub fn so_far(&self) -> (u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.read), load(&self.written), load(&self.rejected))
    }
}
