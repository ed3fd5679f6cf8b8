//! From source cells to predictions: the one function that runs, requests and streams call.
//!
//! [`Batch::offer`] converts a row's cells into the tensors of each version and hashes them, and
//! [`predict`] prepares what waits for it, scores one version's rows and encodes its outputs as
//! cells.

mod batch;
pub mod profile;
mod score;

pub use batch::{BATCH_BYTES, Batch, RejectedRow, Stored, TENSOR_BYTES, VersionRows};
use score::score_in_parts;
pub use score::{ScoredRows, prepare, score};

use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{CompiledVersion, outputs},
        model::tensor::OutputBatch,
    },
    scorer::pool::{Pool, ScoreError},
};

/// The predictions of one version for the rows of a batch.
pub struct Predicted {
    /// The version number.
    pub number: i32,
    /// SHA-256 of the version's stored model bytes.
    pub sha256: [u8; 32],
    /// Output cells in the table's order, aligned with `scored`.
    pub cells: CellBuffer,
    /// Row of the batch and `input_hash` of each scored row, ascending.
    pub scored: Vec<(u32, u128)>,
    /// Rows that could not be converted, that the model refused, or whose outputs are unusable;
    /// ascending.
    pub rejected: Vec<RejectedRow>,
}

impl Predicted {
    /// Returns empty buffers for a version.
    pub fn new(version: &CompiledVersion) -> Self {
        Self {
            number: version.ready.version,
            sha256: version.ready.admitted.sha256,
            cells: CellBuffer::new(version.outputs.len()),
            scored: Vec::new(),
            rejected: Vec::new(),
        }
    }
}

/// Runs a version's model over its rows of a batch and replaces the content of `predicted`.
/// `pool` has the model at index `at`. `scored` sees the cells of each scored row, by its index.
///
/// # Errors
/// The model could not score the batch; the rows are lost.
pub async fn predict(
    version: &CompiledVersion,
    (pool, at): (&Pool, usize),
    rows: &mut VersionRows,
    predicted: &mut Predicted,
    mut scored: impl FnMut(&CellBuffer, usize),
) -> Result<(), ScoreError> {
    let mut outputs = OutputBatch::default();
    if rows.inputs.rows() > 0 {
        let answer = score_in_parts((pool, at), std::mem::take(&mut rows.inputs)).await?;
        rows.reject(&answer.rejected);
        (rows.inputs, outputs) = (answer.rows, answer.outputs);
    }
    predicted.cells.clear();
    predicted.scored.clear();
    predicted.rejected.clear();
    predicted.rejected.append(&mut rows.rejected);
    for (at, (row, input_hash)) in rows.scored().enumerate() {
        match outputs::encode(version, &outputs, at, &mut predicted.cells) {
            Ok(()) => {
                scored(&predicted.cells, predicted.scored.len());
                predicted.scored.push((row, input_hash));
            }
            Err(rejection) => predicted.rejected.push(RejectedRow {
                row,
                input_hash,
                reason: rejection.to_string(),
            }),
        }
    }
    predicted.rejected.sort_by_key(|rejected| rejected.row);
    Ok(())
}

impl VersionRows {
    /// Moves rows that could not be prepared or that the model refused to `rejected`. They are given
    /// by their index in `rows`, ascending.
    fn reject(&mut self, rejected: &[(usize, String)]) {
        for (at, reason) in rejected.iter().rev() {
            let (row, input_hash) = (self.rows.remove(*at), self.hashes.remove(*at));
            self.rejected.push(RejectedRow {
                row,
                input_hash,
                reason: reason.clone(),
            });
        }
    }

    /// Returns the index in the batch and the `input_hash` of each row that the model accepted.
    fn scored(&self) -> impl Iterator<Item = (u32, u128)> + '_ {
        self.rows.iter().copied().zip(self.hashes.iter().copied())
    }
}
