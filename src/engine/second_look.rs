//! Scores one row in batches of several sizes, to measure the effect of rounding alone.
//!
//! Sums of floats differ in the last digits between batches. Admission measures that on its trial
//! rows only, and a version without golden rows was never tried on rows like the table's.

use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{CompiledVersion, OutputColumn, outputs},
        model::{agreement, tensor::InputBatch, tolerance::Tolerance},
    },
    scorer::{
        pool::{Pool, ScoreError},
        select,
    },
};

/// Batch sizes; ONNX Runtime takes different code paths for one row, few rows and many.
const SIZES: [usize; 4] = [1, 2, 7, 64];

/// A version as the pool scores it.
pub struct SecondLook<'a> {
    pub pool: &'a Pool,
    /// The version's index in the pool.
    pub at: usize,
    pub version: &'a CompiledVersion,
    /// Output columns of the prediction table.
    pub columns: &'a [OutputColumn],
    /// Differences that count as equal in any case.
    pub tolerance: Tolerance,
}

impl SecondLook<'_> {
    /// Returns whether rounding explains how the stored cells differ from what the row at `row`
    /// gives.
    ///
    /// # Errors
    /// As [`Pool::score`].
    pub async fn is_rounding(
        &self,
        inputs: &InputBatch,
        row: usize,
        stored: &CellBuffer,
    ) -> Result<bool, ScoreError> {
        let signature = &self.version.ready.admitted.signature;
        let mut observed = CellBuffer::new(self.columns.len());
        for size in SIZES {
            let copies = select(inputs, &signature.inputs, &vec![row; size]);
            let scored = self.pool.score(self.at, copies).await?;
            if !scored.refused.is_empty() {
                return Ok(false);
            }
            for copy in 0..scored.outputs.rows {
                if outputs::encode(self.version, scored.row(copy, copy), &mut observed).is_err() {
                    return Ok(false);
                }
            }
        }
        Ok(agreement::is_rounding(
            self.version,
            self.columns,
            self.tolerance,
            stored.row(0),
            &observed,
        ))
    }
}
