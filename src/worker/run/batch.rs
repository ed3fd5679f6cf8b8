//! Rows gathered for one call of the scorer, for all versions of the run at once.

use std::num::NonZeroI64;

use super::stored::Standing;
use crate::domain::{
    cells::CellBuffer,
    hash::{append_row, source_hash},
    job::{CompiledJob, CompiledVersion},
    run::Counts,
    tensor::InputBatch,
};

/// What stands in the prediction table for a row and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// `lineage.input_hash`.
    pub input_hash: u128,
    /// A rejection stands there.
    pub rejected: bool,
    /// Its TTL is about to run out.
    pub expiring: bool,
    /// When it was made, in milliseconds since 1970, where the job has a history.
    pub made_at: Option<NonZeroI64>,
}

/// Rows on their way from a page to the prediction table.
pub struct Batch {
    /// Key cells of each row, in the key's order.
    pub keys: CellBuffer,
    /// Hash over all columns that the job reads.
    pub source_hashes: Vec<u128>,
    /// One entry a version of the job, in its order.
    pub versions: Vec<VersionRows>,
}

/// The rows of a batch that one version is to score.
pub struct VersionRows {
    /// Its number.
    pub version: i32,
    /// Indices into the batch, ascending; aligned with `inputs` and `hashes`.
    pub rows: Vec<u32>,
    /// `input_hash` of each.
    pub hashes: Vec<u128>,
    /// Their tensors.
    pub inputs: InputBatch,
    /// Rows that could not be typed.
    pub rejected: Vec<RejectedRow>,
    /// Rows of the above that stand unchanged and are only written again, each with the time when
    /// its prediction was made; ascending. Empty without a history.
    pub kept: Vec<(u32, i64)>,
    /// Rows that stand unchanged and are only to be copied to where the current predictions are:
    /// indices into the batch, ascending.
    pub copied: Vec<u32>,
    /// The cells of each, as [`Standing::whole`] gives them.
    pub copies: CellBuffer,
}

/// A row that a version cannot score.
#[derive(Debug, Clone)]
pub struct RejectedRow {
    /// Index into the batch.
    pub row: u32,
    /// Its `input_hash`.
    pub input_hash: u128,
    /// For `lineage.rejected`.
    pub reason: String,
}

impl Batch {
    /// An empty batch for the versions of `job`.
    pub fn new(job: &CompiledJob) -> Self {
        let version = |version: &CompiledVersion| VersionRows {
            version: version.ready.version,
            rows: Vec::new(),
            hashes: Vec::new(),
            inputs: InputBatch::new(&version.ready.admitted.signature.inputs),
            rejected: Vec::new(),
            kept: Vec::new(),
            copied: Vec::new(),
            copies: CellBuffer::new(2 + job.target.outputs.len()),
        };
        Self {
            keys: CellBuffer::new(job.key.len()),
            source_hashes: Vec::new(),
            versions: job.versions.iter().map(version).collect(),
        }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.source_hashes.len()
    }

    /// Drops all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.source_hashes.clear();
        for version in &mut self.versions {
            version.rows.clear();
            version.hashes.clear();
            version.inputs.clear();
            version.rejected.clear();
            version.kept.clear();
            version.copied.clear();
            version.copies.clear();
        }
    }

    /// Takes one source row in, for those versions for which it is pending, or whose prediction is
    /// to be copied; the others are counted as they stand. `cells` are the key's and then the job's
    /// columns.
    pub fn offer(
        &mut self,
        job: &CompiledJob,
        cells: &[Option<&[u8]>],
        rewrite: bool,
        standing: &Standing<'_>,
        counts: &mut Counts,
        scratch: &mut Vec<u8>,
    ) {
        let (key, columns) = cells.split_at(job.key.len());
        let row = self.rows() as u32;
        let mut pending = false;
        for (version, rows) in job.versions.iter().zip(&mut self.versions) {
            let number = version.ready.version;
            let (input_hash, outcome) = append_row(version, columns, &mut rows.inputs, scratch);
            let unchanged = standing
                .get(number)
                .filter(|stored| !stored.expiring && stored.input_hash == input_hash);
            let stands = unchanged.filter(|_| !rewrite);
            if let (None, Some(made_at)) = (stands, unchanged.and_then(|stored| stored.made_at)) {
                rows.kept.push((row, made_at.get()));
            }
            match (stands, outcome) {
                (Some(stored), outcome) => {
                    if outcome.is_ok() {
                        rows.inputs.truncate(rows.inputs.rows - 1);
                    }
                    let count = match stored.rejected {
                        true => &mut counts.rejected,
                        false => &mut counts.unchanged,
                    };
                    *count.entry(number).or_default() += 1;
                    if let Some(cells) = standing.whole(number) {
                        rows.copied.push(row);
                        cells.for_each(|cell| rows.copies.push(cell));
                        pending = true;
                    }
                }
                (None, Ok(())) => {
                    rows.rows.push(row);
                    rows.hashes.push(input_hash);
                    pending = true;
                }
                (None, Err(rejection)) => {
                    rows.rejected.push(RejectedRow {
                        row,
                        input_hash,
                        reason: rejection.to_string(),
                    });
                    pending = true;
                }
            }
        }
        if pending {
            key.iter().for_each(|cell| self.keys.push(*cell));
            self.source_hashes
                .push(source_hash(&job.columns, columns, scratch));
        }
    }
}
