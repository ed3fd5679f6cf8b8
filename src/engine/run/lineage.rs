//! The proof stored in each prediction row: `helenus_lineage` in CQL's binary form.

use uuid::Uuid;

use crate::store::driver::raw::{cells_of, push_cell};

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
        arm: Option<&str>,
        rejected: Option<&str>,
        bytes: &mut Vec<u8>,
    ) {
        push_cell(bytes, Some(model_sha256));
        push_cell(bytes, Some(&input_hash.to_be_bytes()));
        push_cell(bytes, Some(&source_hash.to_be_bytes()));
        push_cell(bytes, Some(self.run_id.as_bytes()));
        push_cell(bytes, Some(&self.scored_at.to_be_bytes()));
        push_cell(bytes, Some(&self.job_revision.to_be_bytes()));
        push_cell(bytes, arm.map(str::as_bytes));
        push_cell(bytes, rejected.map(str::as_bytes));
    }
}

/// Index of `arm` among the fields of the user type.
pub const ARM: usize = 6;

/// Appends a stored lineage with another arm: that of the row now, where the prediction is served.
pub fn append_with_arm(lineage: &[u8], arm: Option<&str>, bytes: &mut Vec<u8>) {
    // A value that was written before a field was added ends early.
    let mut fields: Vec<_> = cells_of(lineage).collect();
    fields.resize(fields.len().max(ARM + 1), None);
    fields[ARM] = arm.map(str::as_bytes);
    fields.into_iter().for_each(|field| push_cell(bytes, field));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arm_of_a_stored_lineage_changes() {
        let lineage = Lineage {
            run_id: Uuid::nil(),
            scored_at: 7,
            job_revision: 3,
        };
        let with = |arm, rejected| {
            let mut bytes = Vec::new();
            lineage.append(&[1; 32], 2, 3, arm, rejected, &mut bytes);
            bytes
        };
        let moved = |from: &[u8], arm| {
            let mut bytes = Vec::new();
            append_with_arm(from, arm, &mut bytes);
            bytes
        };
        let none = with(None, Some("null: a"));
        let some = with(Some("e/b"), Some("null: a"));
        assert_eq!(moved(&none, Some("e/b")), some);
        assert_eq!(moved(&some, None), none);
    }
}
