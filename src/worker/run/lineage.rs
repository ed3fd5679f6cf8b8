//! The proof that stands in each prediction row: `helenus_lineage` in CQL's binary form.

use uuid::Uuid;

use crate::store::raw::push_cell;

/// What all rows of a batch and version share, but for the source row's hash.
#[derive(Debug, Clone, Copy)]
pub struct Lineage<'a> {
    /// Of the model's stored bytes.
    pub model_sha256: &'a [u8; 32],
    /// Over all columns that the job reads.
    pub source_hash: u128,
    /// The run.
    pub run_id: Uuid,
    /// Milliseconds since 1970; fixed once for a batch, so that a retry sends the same bytes.
    pub scored_at: i64,
    /// The job's revision.
    pub job_revision: i32,
}

impl Lineage<'_> {
    /// The user type's fields in their order: model_sha256, input_hash, source_hash, run_id,
    /// scored_at, job_revision, arm, rejected.
    pub fn encode(&self, input_hash: u128, rejected: Option<&str>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + rejected.map_or(0, str::len));
        push_cell(&mut bytes, Some(self.model_sha256));
        push_cell(&mut bytes, Some(&input_hash.to_be_bytes()));
        push_cell(&mut bytes, Some(&self.source_hash.to_be_bytes()));
        push_cell(&mut bytes, Some(self.run_id.as_bytes()));
        push_cell(&mut bytes, Some(&self.scored_at.to_be_bytes()));
        push_cell(&mut bytes, Some(&self.job_revision.to_be_bytes()));
        push_cell(&mut bytes, None);
        push_cell(&mut bytes, rejected.map(str::as_bytes));
        bytes
    }
}
