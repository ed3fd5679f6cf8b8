//! One batch on its way through scorer and writer, in buffers that the next batch reuses.

use super::{context::RunContext, profiling::Profiling, split_error::SplitError, tally::Tally};
use crate::engine::predict::{Batch, Predicted, predict, profile::OutputCounters};

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
            if let Some(profiling) = &context.profiling {
                count(
                    context,
                    profiling,
                    at,
                    &self.batch.counted,
                    predicted,
                    &mut self.tally,
                );
            }
        }
        Ok(())
    }
}

/// Counts the outputs of the rows of a batch that are counted. `at` is the version's index.
fn count(
    context: &RunContext,
    profiling: &Profiling,
    at: usize,
    rows: &[u32],
    predicted: &Predicted,
    tally: &mut Tally,
) {
    let plan = &profiling.layout.plan;
    let Some(counted) = plan.versions.get(at) else {
        return;
    };
    let outputs = tally.outputs.entry(counted.version);
    let outputs = outputs.or_insert_with(|| OutputCounters::new(counted));
    // Both ascend.
    let mut rows = rows.iter().copied().peekable();
    for (scored, (row, _)) in predicted.scored.iter().enumerate() {
        while rows.next_if(|counted| counted < row).is_some() {}
        if rows.peek() == Some(row) {
            outputs.add(&context.job, plan, counted, &predicted.cells, scored);
        }
    }
}
