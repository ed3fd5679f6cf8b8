//! One batch on its way through scorer and writer, in buffers that the next one fills again.

use super::{
    batch::{Batch, RejectedRow, VersionRows},
    context::RunContext,
    split::SplitError,
    tally::Tally,
};
use crate::domain::{
    cells::CellBuffer,
    outputs,
    statistics::OutputStatistics,
    tensor::{InputBatch, OutputBatch},
};

/// A batch, what its models made of it, and the sums over all that came this way before.
pub struct Lane {
    /// The rows.
    pub batch: Batch,
    /// One entry a version, in the job's order.
    pub versions: Vec<Encoded>,
    /// Of the batches that were written.
    pub tally: Tally,
}

/// One version's cells, ready to bind.
pub struct Encoded {
    /// The version.
    pub number: i32,
    /// Of its stored bytes.
    pub sha256: [u8; 32],
    /// Output cells, aligned with `scored`.
    pub cells: CellBuffer,
    /// Row of the batch and `input_hash` of each scored row, ascending.
    pub scored: Vec<(u32, u128)>,
    /// Untyped, refused by the model, or of no use; ascending.
    pub rejected: Vec<RejectedRow>,
}

impl Lane {
    /// Empty.
    pub fn new(context: &RunContext) -> Self {
        let columns = context.job.target.outputs.len();
        let versions = context.job.versions.iter().map(|version| Encoded {
            number: version.ready.version,
            sha256: version.ready.admitted.sha256,
            cells: CellBuffer::new(columns),
            scored: Vec::new(),
            rejected: Vec::new(),
        });
        Self {
            batch: Batch::new(&context.job),
            versions: versions.collect(),
            tally: Tally::default(),
        }
    }

    /// Every version's model over its rows of the batch.
    ///
    /// # Errors
    /// [`SplitError::Score`].
    pub async fn score(&mut self, context: &RunContext) -> Result<(), SplitError> {
        for at in 0..self.versions.len() {
            let rows = &mut self.batch.versions[at];
            let mut outputs = OutputBatch::default();
            if rows.inputs.rows > 0 {
                let inputs = std::mem::replace(&mut rows.inputs, InputBatch::new(&[]));
                let scored = context.scorer.score(at, inputs).await;
                let scored = scored.map_err(SplitError::Score)?;
                (rows.inputs, outputs) = (scored.inputs, scored.outputs);
                rows.refuse(&scored.refused);
            }
            self.encode(context, at, &outputs);
        }
        Ok(())
    }

    fn encode(&mut self, context: &RunContext, at: usize, outputs: &OutputBatch) {
        let version = &context.job.versions[at];
        let columns = &context.job.target.outputs;
        let (rows, encoded) = (&mut self.batch.versions[at], &mut self.versions[at]);
        encoded.cells.clear();
        encoded.scored.clear();
        encoded.rejected.clear();
        encoded.rejected.append(&mut rows.rejected);
        let number = version.ready.version;
        let statistics: &mut OutputStatistics = self.tally.statistics.entry(number).or_default();
        for (at, (row, input_hash)) in rows.scored().enumerate() {
            match outputs::encode(version, outputs, at, &mut encoded.cells) {
                Ok(()) => {
                    statistics.add_row(columns, &encoded.cells, encoded.scored.len());
                    encoded.scored.push((row, input_hash));
                }
                Err(rejection) => encoded.rejected.push(RejectedRow {
                    row,
                    input_hash,
                    reason: rejection.to_string(),
                }),
            }
        }
        encoded.rejected.sort_by_key(|rejected| rejected.row);
    }
}

impl VersionRows {
    /// Moves the rows that the model refused, given by their place among `rows`, to the rejected.
    fn refuse(&mut self, refused: &[(usize, String)]) {
        for (at, reason) in refused.iter().rev() {
            let (row, input_hash) = (self.rows.remove(*at), self.hashes.remove(*at));
            self.rejected.push(RejectedRow {
                row,
                input_hash,
                reason: format!("refused: {reason}"),
            });
        }
    }

    /// Row of the batch and `input_hash` of each that is to be written.
    fn scored(&self) -> impl Iterator<Item = (u32, u128)> + '_ {
        self.rows.iter().copied().zip(self.hashes.iter().copied())
    }
}
