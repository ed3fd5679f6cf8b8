//! One batch on its way through scorer and writer, in buffers that the next batch reuses.

use super::{context::RunContext, split::SplitError, tally::Tally};
use crate::engine::predict::{Batch, Predicted, predict};

/// A batch, the predictions of its rows, and the sums over all batches that used these buffers
/// before.
pub struct Lane {
    pub batch: Batch,
    /// One entry per version, in the job's order.
    pub versions: Vec<Predicted>,
    /// Sums over the batches that were written.
    pub tally: Tally,
}

impl Lane {
    /// Returns an empty lane with buffers for each version of the job.
    pub fn new(context: &RunContext) -> Self {
        Self {
            batch: Batch::new(&context.job),
            versions: context.job.versions.iter().map(Predicted::new).collect(),
            tally: Tally::default(),
        }
    }

    /// Runs every version's model over its rows of the batch.
    ///
    /// # Errors
    /// [`SplitError::Score`].
    #[tracing::instrument(level = "trace", name = "batch", skip_all, fields(rows = self.batch.rows()))]
    pub async fn score(&mut self, context: &RunContext) -> Result<(), SplitError> {
        let columns = &context.job.target.outputs;
        let versions = context.job.versions.iter().enumerate();
        let buffers = self.batch.versions.iter_mut().zip(&mut self.versions);
        for ((at, version), (rows, predicted)) in versions.zip(buffers) {
            let statistics = &mut self.tally.statistics;
            let statistics = statistics.entry(version.ready.version).or_default();
            let add = |cells: &_, row| statistics.add_row(columns, cells, row);
            predict(version, (&context.scorer, at), rows, predicted, add)
                .await
                .map_err(SplitError::Score)?;
        }
        Ok(())
    }
}
