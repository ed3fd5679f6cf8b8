//! From source cells to predictions: the one function that runs, requests and streams call.
//!
//! [`Batch::offer`] converts a row's cells into the tensors of each version and hashes them, and
//! [`predict`] scores one version's rows and encodes its outputs as cells.

mod batch;
pub mod profile;

pub use batch::{BATCH_BYTES, Batch, RejectedRow, Stored, VersionRows};

use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{
            CompiledVersion,
            outputs::{self, ScoredRow},
        },
        model::tensor::{InputBatch, OutputBatch},
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
    let mut input_rows = Vec::new();
    if rows.inputs.rows > 0 {
        let inputs = std::mem::replace(&mut rows.inputs, InputBatch::new(&[]));
        let answer = pool.score(at, inputs).await?;
        (rows.inputs, outputs) = (answer.inputs, answer.outputs);
        let mut refused = answer.refused.iter().map(|(row, _)| *row).peekable();
        let is_accepted = |row: &usize| refused.next_if_eq(row).is_none();
        input_rows = (0..rows.inputs.rows).filter(is_accepted).collect();
        rows.refuse(&answer.refused);
    }
    predicted.cells.clear();
    predicted.scored.clear();
    predicted.rejected.clear();
    predicted.rejected.append(&mut rows.rejected);
    for ((at, (row, input_hash)), input_row) in rows.scored().enumerate().zip(input_rows) {
        let scored_row = ScoredRow {
            inputs: &rows.inputs,
            input_row,
            outputs: &outputs,
            row: at,
        };
        match outputs::encode(version, scored_row, &mut predicted.cells) {
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
    /// Moves the rows that the model refused to `rejected`. They are given by their index in
    /// `rows`, ascending.
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

    /// Returns the index in the batch and the `input_hash` of each row that the model accepted.
    fn scored(&self) -> impl Iterator<Item = (u32, u128)> + '_ {
        self.rows.iter().copied().zip(self.hashes.iter().copied())
    }
}
