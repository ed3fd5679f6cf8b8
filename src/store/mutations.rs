//! Rows gathered for one unlogged batch, as the bytes that are bound.

use std::ops::Range;

use scylla::{
    errors::SerializationError,
    serialize::{
        batch::{BatchValues, BatchValuesIterator},
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
};

use super::raw::{RawValues, push_cell, push_cell_with};
use crate::domain::job::CompiledJob;

/// Above this many bytes of mutation Cassandra logs a warning for each batch, which costs it more
/// than a larger batch saves (`batch_size_warn_threshold`: 5 KiB).
const BATCH_BYTES: usize = 5_000;
/// What Cassandra 5.0.9 counts beside the bytes of clustering and cells, found by measuring batches
/// of many shapes: for a partition, for each row of it, for each cell, and for a TTL of each of the
/// latter two. The partition key counts nothing.
const PARTITION: usize = 29;
const ROW: usize = 21;
const CELL: usize = 20;
const TTL: usize = 4;
/// A timestamp.
const TIME: usize = 8;

/// Statements gathered for one batch, all with one timestamp.
#[derive(Debug)]
pub struct Mutations {
    /// Microseconds.
    pub(super) timestamp: i64,
    costs: Costs,
    /// Where the last row's partition key is in `values`.
    partition: Range<usize>,
    /// With the end of each in `values`.
    statements: Vec<(Kind, usize)>,
    values: Vec<u8>,
    estimate: usize,
    /// Rows of the history among the statements.
    remembered: usize,
    /// The estimate before the last row, but with its partition.
    row: usize,
}

/// What is the same for all rows of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    partition_key_len: usize,
    /// [`TTL`], or 0 without one.
    ttl: usize,
    history: Option<HistoryCost>,
}

/// What a row of the history counts beyond the row of the prediction table that it repeats.
#[derive(Debug, Clone, Copy)]
struct HistoryCost {
    more: usize,
    /// And for the nulls of a rejection.
    nulls: usize,
}

/// Which statement a row is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Insert,
    InsertRejected,
    Delete,
    History,
    HistoryRejected,
}

impl Costs {
    /// Of rows of `job`'s tables.
    pub(super) fn of(job: &CompiledJob) -> Self {
        let ttl = |seconds: i32| if seconds > 0 { TTL } else { 0 };
        let (outputs, row_ttl) = (job.target.outputs.len(), ttl(job.rules.ttl_seconds));
        let history = job.target.history.as_ref().map(|history| HistoryCost {
            // The row's TTL, the lineage's and each output's; and the time in its key.
            more: ttl(history.ttl_seconds).saturating_sub(row_ttl) * (2 + outputs) + TIME,
            nulls: (CELL + TTL) * outputs,
        });
        Self {
            partition_key_len: job.partition_key_len,
            ttl: row_ttl,
            history,
        }
    }
}

impl Mutations {
    pub(super) fn new(costs: Costs) -> Self {
        Self {
            timestamp: 0,
            costs,
            partition: 0..0,
            statements: Vec::new(),
            values: Vec::new(),
            estimate: 0,
            remembered: 0,
            row: 0,
        }
    }

    /// Drops all statements, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.statements.clear();
        self.values.clear();
        self.partition = 0..0;
        self.estimate = 0;
        self.remembered = 0;
    }

    /// No statement yet.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether `more` rows of about the size of those here would go beyond the server's threshold.
    pub fn is_full(&self, more: usize) -> bool {
        let rows = self.rows().max(1);
        self.estimate + self.estimate * more / rows > BATCH_BYTES
    }

    /// A prediction: key cells, version, output cells in the table's order, and the lineage, whose
    /// bytes `lineage` appends.
    pub fn insert<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        outputs: impl Iterator<Item = Option<&'a [u8]>>,
        lineage: impl FnOnce(&mut Vec<u8>),
    ) {
        self.key(key, version);
        for cell in outputs {
            // A null is a tombstone, with a time of its own.
            self.estimate += CELL + self.costs.ttl + cell.map_or(TTL, <[u8]>::len);
            push_cell(&mut self.values, cell);
        }
        self.lineage(lineage);
        self.finish(Kind::Insert);
    }

    /// A rejection: what stood there is deleted just below the timestamp, and only the lineage
    /// (with its reason) is written at it.
    pub fn reject<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>> + Clone,
        version: i32,
        lineage: impl FnOnce(&mut Vec<u8>),
    ) {
        self.delete_at(key.clone(), version, self.timestamp - 1);
        self.key(key, version);
        self.lineage(lineage);
        self.finish(Kind::InsertRejected);
    }

    /// The prediction or rejection that was added last, as a row of the history, if there is one:
    /// what was bound is bound again, with its time behind it.
    pub fn remember(&mut self, scored_at: i64) {
        let Some(history) = self.costs.history else {
            return;
        };
        let (kind, more) = match self.statements.last() {
            Some((Kind::InsertRejected, _)) => (Kind::HistoryRejected, history.nulls),
            _ => (Kind::History, 0),
        };
        let end = self.values.len();
        let start = match self.statements.as_slice() {
            [.., (_, start), _] => *start,
            _ => 0,
        };
        self.values.extend_from_within(start..end);
        push_cell(&mut self.values, Some(&scored_at.to_be_bytes()));
        let row = self.estimate - self.row;
        self.estimate += row + history.more + more;
        self.remembered += 1;
        self.finish(kind);
    }

    /// Deletes a prediction.
    pub fn delete<'a>(&mut self, key: impl Iterator<Item = Option<&'a [u8]>>, version: i32) {
        self.delete_at(key, version, self.timestamp);
    }

    fn delete_at<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        timestamp: i64,
    ) {
        push_cell(&mut self.values, Some(&timestamp.to_be_bytes()));
        self.key(key, version);
        self.finish(Kind::Delete);
    }

    fn key<'a>(&mut self, key: impl Iterator<Item = Option<&'a [u8]>>, version: i32) {
        let before = self.estimate;
        self.estimate += ROW + self.costs.ttl + size_of_val(&version);
        let start = self.values.len();
        let mut end = start;
        for (at, cell) in key.enumerate() {
            push_cell(&mut self.values, cell);
            if at < self.costs.partition_key_len {
                end = self.values.len();
            } else {
                self.estimate += cell.map_or(0, <[u8]>::len);
            }
        }
        // Rows that follow each other in one partition are one mutation.
        self.row = before;
        if self.values[start..end] != self.values[self.partition.clone()] {
            // In the history, too.
            let partition = PARTITION << u32::from(self.costs.history.is_some());
            self.estimate += partition;
            self.row += partition;
        }
        self.partition = start..end;
        push_cell(&mut self.values, Some(&version.to_be_bytes()));
    }

    fn lineage(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.estimate += CELL + self.costs.ttl + push_cell_with(&mut self.values, write);
    }

    fn finish(&mut self, kind: Kind) {
        self.statements.push((kind, self.values.len()));
    }

    /// Rows written to the prediction table or deleted there.
    pub fn rows(&self) -> usize {
        self.statements.len() - self.remembered
    }

    pub(super) fn statements(&self) -> usize {
        self.statements.len()
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.statements.iter().map(|(kind, _)| *kind)
    }
}

impl BatchValues for Mutations {
    type BatchValuesIter<'r> = Rows<'r>;

    fn batch_values_iter(&self) -> Rows<'_> {
        Rows {
            mutations: self,
            at: 0,
            start: 0,
        }
    }
}

/// The values of each statement in turn.
pub struct Rows<'m> {
    mutations: &'m Mutations,
    at: usize,
    start: usize,
}

impl<'m> Rows<'m> {
    fn step(&mut self) -> Option<RawValues<'m>> {
        let (_, end) = *self.mutations.statements.get(self.at)?;
        let values = &self.mutations.values[self.start..end];
        (self.at, self.start) = (self.at + 1, end);
        Some(RawValues(values))
    }
}

impl<'m> BatchValuesIterator<'m> for Rows<'m> {
    fn serialize_next(
        &mut self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Option<Result<(), SerializationError>> {
        Some(self.step()?.serialize(context, writer))
    }

    fn is_empty_next(&mut self) -> Option<bool> {
        Some(self.step()?.is_empty())
    }

    fn skip_next(&mut self) -> Option<()> {
        self.step().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_of_many_versions_goes_beyond_no_threshold() {
        const THRESHOLD: usize = 5 << 10;
        for versions in 1..=4 {
            let mut mutations = Mutations::new(Costs {
                partition_key_len: 1,
                ttl: TTL,
                history: None,
            });
            let mut entity = 0_i64;
            while !mutations.is_full(versions) {
                for version in 1..=versions {
                    let key = entity.to_be_bytes();
                    let output = [0; 8];
                    mutations.insert(
                        [Some(&key[..])].into_iter(),
                        version as i32,
                        [Some(&output[..]); 3].into_iter(),
                        |lineage| lineage.extend([0; 120]),
                    );
                }
                entity += 1;
            }
            let fullest = THRESHOLD * 3 / 4..=THRESHOLD;
            assert!(
                fullest.contains(&mutations.estimate),
                "{versions}: {}",
                mutations.estimate
            );
        }
    }
}
