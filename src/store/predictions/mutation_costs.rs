//! What a row adds to the size of a batch, as Cassandra counts it.

use crate::domain::job::CompiledJob;

/// Bytes that Cassandra 5.0.9 counts in addition to those of clustering and cells, found by
/// measuring batches of many shapes: per partition, per row, per cell, and for a TTL of each row
/// and each cell. The partition key counts nothing.
pub(super) const PARTITION: usize = 29;
pub(super) const ROW: usize = 21;
pub(super) const CELL: usize = 20;
pub(super) const TTL: usize = 4;
pub(super) const TIME: usize = 8;

/// Costs that are the same for all rows of a job.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Costs {
    pub(super) partition_key_len: usize,
    /// [`TTL`], or 0 without one.
    pub(super) ttl: usize,
    pub(super) ttl_seconds: i32,
    pub(super) history: Option<BesideCost>,
    pub(super) current: Option<BesideCost>,
}

/// Bytes that a row of a table beside the prediction table counts in addition to the row that it
/// repeats.
#[derive(Debug, Clone, Copy)]
pub(super) struct BesideCost {
    pub(super) more: usize,
    /// Additional bytes for the nulls of a rejection.
    pub(super) nulls: usize,
}

impl Costs {
    /// Returns the costs of rows of `job`'s tables.
    pub(in crate::store) fn for_job(job: &CompiledJob) -> Self {
        let ttl = |seconds: i32| if seconds > 0 { TTL } else { 0 };
        let (outputs, row_ttl) = (job.target.outputs.len(), ttl(job.rules.ttl_seconds));
        let nulls = (CELL + TTL) * outputs;
        let history = job.target.history.as_ref().map(|history| BesideCost {
            // The TTL of the row, of the lineage and of each output, and the time in the key.
            more: ttl(history.ttl_seconds).saturating_sub(row_ttl) * (2 + outputs) + TIME,
            nulls,
        });
        let current = job.target.current.as_ref().map(|_| BesideCost {
            // The version is a cell.
            more: CELL + row_ttl,
            nulls,
        });
        Self {
            partition_key_len: job.partition_key_len,
            ttl: row_ttl,
            ttl_seconds: job.rules.ttl_seconds,
            history,
            current,
        }
    }

    /// Returns the number of tables that a row may go to.
    pub(super) fn tables(&self) -> usize {
        1 + usize::from(self.history.is_some()) + usize::from(self.current.is_some())
    }
}
