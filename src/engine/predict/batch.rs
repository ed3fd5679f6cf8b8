//! Rows collected for one call of the scorer, for all versions of the run.

use std::num::NonZeroI64;

use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{
            CompiledJob, CompiledVersion,
            hash::{append_row, source_hash},
            prepare::TypedRows,
        },
        run::Counts,
    },
    engine::run::stored::Standing,
    store::driver::budget::Share,
};

/// Size at which a batch is full, however few rows it has. A row's cells count once for each
/// version that scores it.
pub const BATCH_BYTES: usize = 2 << 20;
/// Size of the tensors to be prepared at which a batch is full: 13 images of 224 x 224 pixels.
pub const TENSOR_BYTES: usize = 8 << 20;

/// The stored state of a row's prediction by one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// `lineage.input_hash`.
    pub input_hash: u128,
    /// Whether the stored row is a rejection.
    pub rejected: bool,
    /// Whether its TTL is about to run out.
    pub expiring: bool,
    /// When the prediction was made, in milliseconds since 1970. Read only where the job has a
    /// history.
    pub made_at: Option<NonZeroI64>,
}

/// Rows on their way from a source page to the prediction table.
pub struct Batch {
    /// Key cells of each row, in key order.
    pub keys: CellBuffer,
    /// Hash of each row over all columns that the job reads.
    pub source_hashes: Vec<u128>,
    /// Each row's arm in the running experiment.
    pub arms: Vec<Option<usize>>,
    /// One entry per version of the job, in the job's order.
    pub versions: Vec<VersionRows>,
    /// Rows whose outputs are counted for the run's profile: indices into the batch, ascending.
    pub counted: Vec<u32>,
    /// Bytes of the source cells of its rows, counted for each version that uses them.
    bytes: usize,
    /// Bytes of the tensors that are prepared from them.
    tensor_bytes: usize,
    /// The batch's share of the row memory budget, held while it is scored and written.
    held: Option<Share>,
}

/// The rows of a batch that one version is to score.
pub struct VersionRows {
    pub version: i32,
    /// Indices into the batch, ascending; aligned with `inputs` and `hashes`.
    pub rows: Vec<u32>,
    /// `input_hash` of each row.
    pub hashes: Vec<u128>,
    /// The rows' input tensors, as far as they are not prepared later.
    pub inputs: TypedRows,
    /// Rows whose cells could not be converted to tensor values.
    pub rejected: Vec<RejectedRow>,
    /// Rows among `rows` and `rejected` whose values are unchanged and that are only rewritten,
    /// each with the time when its prediction was made. Ascending; empty without a history.
    pub kept: Vec<(u32, i64)>,
    /// Rows that this version serves, whose prediction is unchanged and is only copied to the table of
    /// current predictions: indices into the batch, ascending.
    pub copied: Vec<u32>,
    /// The cells to copy, one row per entry of `copied`, as [`Standing::whole`] returns them.
    pub copies: CellBuffer,
}

/// A row that a version cannot score.
#[derive(Debug, Clone)]
pub struct RejectedRow {
    /// Index into the batch.
    pub row: u32,
    pub input_hash: u128,
    /// The text for `lineage.rejected`.
    pub reason: String,
}

impl Batch {
    /// Returns an empty batch for the versions of `job`.
    pub fn new(job: &CompiledJob) -> Self {
        let version = |version: &CompiledVersion| VersionRows {
            version: version.ready.version,
            rows: Vec::new(),
            hashes: Vec::new(),
            inputs: TypedRows::new(version),
            rejected: Vec::new(),
            kept: Vec::new(),
            copied: Vec::new(),
            copies: CellBuffer::new(2 + job.target.outputs.len()),
        };
        Self {
            keys: CellBuffer::new(job.key.len()),
            source_hashes: Vec::new(),
            arms: Vec::new(),
            versions: job.versions.iter().map(version).collect(),
            counted: Vec::new(),
            bytes: 0,
            tensor_bytes: 0,
            held: None,
        }
    }

    /// Returns the number of rows in the batch.
    pub fn rows(&self) -> usize {
        self.source_hashes.len()
    }

    /// Returns whether the batch has `rows` rows, or has reached [`BATCH_BYTES`] or
    /// [`TENSOR_BYTES`].
    pub fn is_full(&self, rows: usize) -> bool {
        self.rows() >= rows || self.bytes >= BATCH_BYTES || self.tensor_bytes >= TENSOR_BYTES
    }

    /// Returns the bytes of the source cells of its rows, counted for each version that uses them,
    /// and of the tensors that will be prepared from them.
    pub fn byte_len(&self) -> usize {
        self.bytes + self.tensor_bytes
    }

    /// Counts the batch's bytes against the row budget until [`Batch::release`].
    pub fn hold(&mut self, share: Share) {
        self.held = Some(share);
    }

    /// Returns the batch's share to the row budget, once its rows are no longer needed.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// Drops all rows and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.tensor_bytes = 0;
        self.release();
        self.keys.clear();
        self.source_hashes.clear();
        self.arms.clear();
        self.counted.clear();
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

    /// Adds one source row for each version for which it is pending or whose prediction is to be
    /// copied. For the other versions the row is counted as unchanged or rejected, as it is stored.
    /// Without `standing`, every version scores the row. `cells` are the key columns, then those of
    /// [`CompiledJob::read_columns`].
    pub fn offer(
        &mut self,
        job: &CompiledJob,
        cells: &[Option<&[u8]>],
        rewrite: bool,
        standing: Option<&Standing<'_>>,
        counts: &mut Counts,
        scratch: &mut Vec<u8>,
    ) {
        let (key, columns) = cells.split_at(job.key.len());
        let row = self.rows() as u32;
        let mut uses = 0;
        let arm = job.served.arm_of(cells, scratch);
        let served = job.served.version_of(arm);
        for (version, rows) in job.versions.iter().zip(&mut self.versions) {
            let number = version.ready.version;
            let (input_hash, outcome) = append_row(version, columns, &mut rows.inputs, scratch);
            let unchanged = standing
                .and_then(|standing| standing.get(number))
                .filter(|stored| !stored.expiring && stored.input_hash == input_hash);
            let stands = unchanged.filter(|_| !rewrite);
            if let (None, Some(made_at)) = (stands, unchanged.and_then(|stored| stored.made_at)) {
                rows.kept.push((row, made_at.get()));
            }
            match (stands, outcome) {
                (Some(stored), outcome) => {
                    if outcome.is_ok() {
                        rows.inputs.truncate(rows.inputs.rows() - 1);
                    }
                    let count = match stored.rejected {
                        true => &mut counts.rejected,
                        false => &mut counts.unchanged,
                    };
                    *count.entry(number).or_default() += 1;
                    if served == Some(number)
                        && let Some(cells) = standing.and_then(|standing| standing.whole(number))
                    {
                        rows.copied.push(row);
                        cells.for_each(|cell| rows.copies.push(cell));
                        uses += 1;
                    }
                }
                (None, Ok(())) => {
                    self.tensor_bytes += rows.inputs.prepared_row_bytes();
                    rows.rows.push(row);
                    rows.hashes.push(input_hash);
                    uses += 1;
                }
                (None, Err(rejection)) => {
                    rows.rejected.push(RejectedRow {
                        row,
                        input_hash,
                        reason: rejection.to_string(),
                    });
                    uses += 1;
                }
            }
        }
        if uses > 0 {
            let row_bytes: usize = cells.iter().flatten().map(|cell| cell.len()).sum();
            self.bytes += uses * row_bytes;
            key.iter().for_each(|cell| self.keys.push(*cell));
            self.arms.push(arm);
            self.source_hashes
                .push(source_hash(job.hashed_columns(), columns, scratch));
        }
    }
}
