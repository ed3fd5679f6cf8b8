//! How far a run is, for callers that follow it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::{
    domain::run::{Counts, Run},
    store::{
        Store,
        driver::error::StoreError,
        runs::splits::{SplitId, SplitState},
    },
};

/// Splits that are read at a time.
const AT_A_TIME: usize = 16;
/// Largest number of splits whose rows are counted before the run has ended.
const SPLITS: usize = 1024;

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunProgress {
    /// 0 before the run is planned.
    pub splits_total: i32,
    pub splits_done: i32,
    /// Rows of the splits that are done; null while a run of very many splits is under way.
    pub counts: Option<RowCounts>,
}

/// Numbers of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RowCounts {
    /// Rows of the source that were read.
    pub source_rows: u64,
    /// Predictions whose source row no longer exists.
    pub orphaned: u64,
    /// Rows that were stored with a prediction, by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub scored: BTreeMap<i32, u64>,
    /// Rows whose stored prediction is current, by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub unchanged: BTreeMap<i32, u64>,
    /// Rows that are stored as rejected, by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub rejected: BTreeMap<i32, u64>,
}

impl From<&Counts> for RowCounts {
    fn from(counts: &Counts) -> Self {
        Self {
            source_rows: counts.source_rows,
            orphaned: counts.orphaned,
            scored: counts.scored.clone(),
            unchanged: counts.unchanged.clone(),
            rejected: counts.rejected.clone(),
        }
    }
}

/// Counts the rows of a run's splits. A split that is done is final, so it is read once.
#[derive(Debug, Default)]
pub struct SplitCounter {
    /// The run's `splits_done` when the splits were last read.
    seen: Option<i32>,
    /// By split, whether it was counted.
    done: Vec<bool>,
    counts: Counts,
}

impl SplitCounter {
    /// Returns how far a run is.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn progress(&mut self, store: &Store, run: &Run) -> Result<RunProgress, StoreError> {
        let mut progress = RunProgress {
            splits_total: run.splits_total,
            splits_done: run.splits_done,
            counts: None,
        };
        let splits = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
        if run.state.is_terminal() {
            progress.counts = Some((&run.counts).into());
        } else if splits <= SPLITS {
            if self.seen != Some(run.splits_done) {
                self.read(store, run, splits).await?;
                self.seen = Some(run.splits_done);
            }
            let done = self.done.iter().filter(|done| **done).count() as i32;
            progress.splits_done = progress.splits_done.max(done);
            progress.counts = Some((&self.counts).into());
        }
        Ok(progress)
    }

    async fn read(&mut self, store: &Store, run: &Run, splits: usize) -> Result<(), StoreError> {
        self.done.resize(splits, false);
        let open = (0..splits).filter(|split| !self.done[*split]);
        let reads: Vec<_> = open
            .map(|split| {
                let id = SplitId {
                    job: run.job.clone(),
                    run_id: run.run_id,
                    split: split as i32,
                };
                async move { Ok::<_, StoreError>((split, store.glimpse_split(&id).await?)) }
            })
            .collect();
        let read: Vec<_> = futures::stream::iter(reads)
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        for (split, row) in read {
            if let Some(row) = row.filter(|row| row.state == SplitState::Done) {
                self.done[split] = true;
                self.counts.add(&row.counts);
            }
        }
        Ok(())
    }
}
