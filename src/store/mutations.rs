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
    made: Made,
    /// With the end of each in `values`.
    statements: Vec<(Kind, usize)>,
    values: Vec<u8>,
    estimate: usize,
    /// Rows of tables beside the prediction table among the statements.
    beside: usize,
    /// The estimate before the last row, but with its partition.
    row: usize,
}

/// The prediction or rejection that was added last.
#[derive(Debug, Default)]
struct Made {
    values: Range<usize>,
    estimate: usize,
    rejected: bool,
}

/// What is the same for all rows of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    partition_key_len: usize,
    /// [`TTL`], or 0 without one.
    ttl: usize,
    ttl_seconds: i32,
    history: Option<BesideCost>,
    current: Option<BesideCost>,
}

/// What a row of a table beside the prediction table counts beyond the row that it repeats.
#[derive(Debug, Clone, Copy)]
struct BesideCost {
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
    Current,
    CurrentRejected,
    CurrentDelete,
}

impl Costs {
    /// Of rows of `job`'s tables.
    pub(super) fn of(job: &CompiledJob) -> Self {
        let ttl = |seconds: i32| if seconds > 0 { TTL } else { 0 };
        let (outputs, row_ttl) = (job.target.outputs.len(), ttl(job.rules.ttl_seconds));
        let nulls = (CELL + TTL) * outputs;
        let history = job.target.history.as_ref().map(|history| BesideCost {
            // The row's TTL, the lineage's and each output's; and the time in its key.
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

    /// Tables that a row may go to.
    fn tables(&self) -> usize {
        1 + usize::from(self.history.is_some()) + usize::from(self.current.is_some())
    }
}

impl Mutations {
    pub(super) fn new(costs: Costs) -> Self {
        Self {
            timestamp: 0,
            costs,
            partition: 0..0,
            made: Made::default(),
            statements: Vec::new(),
            values: Vec::new(),
            estimate: 0,
            beside: 0,
            row: 0,
        }
    }

    /// Drops all statements, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.statements.clear();
        self.values.clear();
        self.partition = 0..0;
        self.estimate = 0;
        self.beside = 0;
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
        let start = self.values.len();
        self.key(key, version);
        self.outputs(outputs);
        self.lineage(lineage);
        self.made(start, false);
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
        let start = self.values.len();
        self.key(key, version);
        self.lineage(lineage);
        self.made(start, true);
        self.finish(Kind::InsertRejected);
    }

    /// The prediction or rejection that was added last, as its entity's current one, if the job
    /// keeps those.
    pub fn make_current(&mut self) {
        let Some(cost) = self.costs.current else {
            return;
        };
        self.repeat(cost, [Kind::Current, Kind::CurrentRejected]);
        if self.costs.ttl_seconds > 0 {
            let ttl = self.costs.ttl_seconds.to_be_bytes();
            self.behind(&ttl);
        }
    }

    /// The prediction or rejection that was added last, as a row of the history, if there is one.
    pub fn remember(&mut self, scored_at: i64) {
        let Some(cost) = self.costs.history else {
            return;
        };
        self.repeat(cost, [Kind::History, Kind::HistoryRejected]);
        self.behind(&scored_at.to_be_bytes());
    }

    /// What was bound for a prediction (or a rejection) is bound again, for another table.
    fn repeat(&mut self, cost: BesideCost, [made, rejected]: [Kind; 2]) {
        self.values.extend_from_within(self.made.values.clone());
        self.estimate += self.made.estimate + cost.more;
        self.beside += 1;
        self.finish(match self.made.rejected {
            true => rejected,
            false => made,
        });
        if self.made.rejected {
            self.estimate += cost.nulls;
        }
    }

    /// One more value of the last statement.
    fn behind(&mut self, value: &[u8]) {
        push_cell(&mut self.values, Some(value));
        if let Some((_, end)) = self.statements.last_mut() {
            *end = self.values.len();
        }
    }

    /// What stands for an entity in the prediction table, as its current prediction: the lineage,
    /// the seconds that it has left (where the job has a TTL), and the output cells, as they were read.
    pub fn copy<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        mut cells: impl Iterator<Item = Option<&'a [u8]>>,
    ) {
        let (lineage, ttl) = (cells.next().flatten(), cells.next().flatten());
        self.key(key, version);
        self.outputs(cells);
        self.lineage(|bytes| bytes.extend_from_slice(lineage.unwrap_or_default()));
        self.finish(Kind::Current);
        if self.costs.ttl_seconds > 0 {
            self.behind(ttl.unwrap_or_default());
        }
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

    /// Deletes an entity's current prediction, whichever version's.
    pub fn delete_current<'a>(&mut self, key: impl Iterator<Item = Option<&'a [u8]>>) {
        push_cell(&mut self.values, Some(&self.timestamp.to_be_bytes()));
        self.estimate += PARTITION + ROW;
        for cell in key {
            push_cell(&mut self.values, cell);
        }
        self.beside += 1;
        self.finish(Kind::CurrentDelete);
    }

    fn made(&mut self, start: usize, rejected: bool) {
        self.made = Made {
            values: start..self.values.len(),
            estimate: self.estimate - self.row,
            rejected,
        };
    }

    fn outputs<'a>(&mut self, outputs: impl Iterator<Item = Option<&'a [u8]>>) {
        for cell in outputs {
            // A null is a tombstone, with a time of its own.
            self.estimate += CELL + self.costs.ttl + cell.map_or(TTL, <[u8]>::len);
            push_cell(&mut self.values, cell);
        }
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
            let partition = PARTITION * self.costs.tables();
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
        self.statements.len() - self.beside
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
                ttl_seconds: 60,
                history: None,
                current: None,
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
