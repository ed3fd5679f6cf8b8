//! The proof stored in each prediction row: `helenus_lineage` in CQL's binary form.

use uuid::Uuid;

use crate::store::driver::raw::push_cell;

/// The lineage fields that all rows of a batch share.
#[derive(Debug, Clone, Copy)]
pub struct Lineage {
    pub run_id: Uuid,
    /// Milliseconds since 1970; fixed once for a batch, so that a retry sends the same bytes.
    pub scored_at: i64,
    pub job_revision: i32,
}

impl Lineage {
    /// Appends the user type's fields in order: model_sha256, input_hash, source_hash, run_id,
    /// scored_at, job_revision, arm, rejected.
    pub fn append(
        &self,
        model_sha256: &[u8; 32],
        input_hash: u128,
        source_hash: u128,
        rejected: Option<&str>,
        bytes: &mut Vec<u8>,
    ) {
        push_cell(bytes, Some(model_sha256));
        push_cell(bytes, Some(&input_hash.to_be_bytes()));
        push_cell(bytes, Some(&source_hash.to_be_bytes()));
        push_cell(bytes, Some(self.run_id.as_bytes()));
        push_cell(bytes, Some(&self.scored_at.to_be_bytes()));
        push_cell(bytes, Some(&self.job_revision.to_be_bytes()));
        push_cell(bytes, None);
        push_cell(bytes, rejected.map(str::as_bytes));
    }
}
