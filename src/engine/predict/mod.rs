//! From source cells to predictions: the one function that runs, requests and streams call.
//!
//! [`Batch::offer`] converts a row's cells into the tensors of each version and hashes them, and
//! [`predict`] prepares what waits for it, scores one version's rows and encodes its outputs as
//! cells.

mod batch;
pub mod profile;
mod score;

pub use batch::{BATCH_BYTES, Batch, RejectedRow, Stored, TENSOR_BYTES, VersionRows};
use score::rows_at_once;
pub use score::{ScoredRows, prepare, score};

use crate::{
    codec::cells::CellBuffer,
    domain::job::{CompiledVersion, outputs},
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
    predicted.cells.clear();
    predicted.scored.clear();
    predicted.rejected.clear();
    let mut rest = std::mem::take(&mut rows.inputs);
    let most = rows_at_once(&rest);
    let mut refused = Vec::new();
    let mut used = None;
    let mut first = 0;
    // Outputs of a part are encoded while what the model was given is still there: a mean over
    // tokens needs their mask.
    while rest.rows() > 0 {
        let next = rest.split_off(most);
        let count = rest.rows();
        let answer = score((pool, at), rest).await?;
        for row in answer.accepted() {
            let (batch_row, input_hash) = (rows.rows[first + row], rows.hashes[first + row]);
            match outputs::encode(version, answer.row(row), &mut predicted.cells) {
                Ok(()) => {
                    scored(&predicted.cells, predicted.scored.len());
                    predicted.scored.push((batch_row, input_hash));
                }
                Err(rejection) => predicted.rejected.push(RejectedRow {
                    row: batch_row,
                    input_hash,
                    reason: rejection.to_string(),
                }),
            }
        }
        let shifted = answer.rejected.into_iter();
        refused.extend(shifted.map(|(row, reason)| (first + row, reason)));
        first += count;
        used = Some(answer.rows);
        rest = next;
    }
    // The buffers, for reuse.
    rows.inputs = used.unwrap_or(rest);
    rows.reject(&refused);
    predicted.rejected.append(&mut rows.rejected);
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
}
