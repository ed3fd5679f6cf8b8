//! Collects rows for one unlogged batch, as the bytes that are bound.

use std::ops::Range;

use scylla::{
    errors::SerializationError,
    serialize::{
        batch::{BatchValues, BatchValuesIterator},
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
};

use super::mutation_costs::{BesideCost, CELL, Costs, PARTITION, ROW, TTL};
use crate::store::driver::raw::{RawValues, push_cell, push_cell_with};

/// Bytes of mutation above which Cassandra logs a warning for each batch, which costs it more than
/// a larger batch saves (`batch_size_warn_threshold`: 5 KiB).
const BATCH_BYTES: usize = 5_000;
/// Bytes of capacity above which emptied [`Mutations`] that once held a large row are not kept.
const SMALL: usize = 16 * BATCH_BYTES;
/// Statements collected for one batch, all with one timestamp.
#[derive(Debug)]
pub struct Mutations {
    /// Microseconds.
    pub(in crate::store) timestamp: i64,
    costs: Costs,
    /// Range of the last row's partition key in `values`.
    partition: Range<usize>,
    made: Made,
    /// The kind of each statement, with its end in `values`.
    statements: Vec<(MutationKind, usize)>,
    values: Vec<u8>,
    estimate: usize,
    /// Number of statements for tables beside the prediction table.
    beside: usize,
    /// The estimate before the last row, but including its partition.
    row: usize,
}

/// The prediction or rejection that was added last.
#[derive(Debug, Default)]
struct Made {
    values: Range<usize>,
    estimate: usize,
    rejected: bool,
}

/// The statement to which a row is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum MutationKind {
    Insert,
    InsertRejected,
    Delete,
    History,
    HistoryRejected,
    Current,
    CurrentRejected,
    CurrentDelete,
}

impl Mutations {
    pub(in crate::store) fn new(costs: Costs) -> Self {
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

    /// Drops all statements and keeps the memory.
    pub(in crate::store) fn clear(&mut self) {
        self.statements.clear();
        self.values.clear();
        self.partition = 0..0;
        self.estimate = 0;
        self.beside = 0;
    }

    /// Returns whether the retained memory is about what usual rows need.
    pub(in crate::store) fn is_small(&self) -> bool {
        self.values.capacity() <= SMALL
    }

    /// Returns whether there is no statement yet.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Returns whether `more` rows of about the current size would exceed the server's threshold.
    pub fn is_full(&self, more: usize) -> bool {
        let rows = self.rows().max(1);
        self.estimate + self.estimate * more / rows > BATCH_BYTES
    }

    /// Adds a prediction: key cells, version, output cells in the table's order, and the lineage,
    /// whose bytes `lineage` appends.
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
        self.finish(MutationKind::Insert);
    }

    /// Adds a rejection: the stored prediction is deleted just below the timestamp, and only the
    /// lineage (with its reason) is written at it.
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
        self.finish(MutationKind::InsertRejected);
    }

    /// Adds the prediction or rejection that was added last as its entity's current one, if the job
    /// keeps current predictions.
    pub fn make_current(&mut self) {
        let Some(cost) = self.costs.current else {
            return;
        };
        self.repeat(cost, [MutationKind::Current, MutationKind::CurrentRejected]);
        if self.costs.ttl_seconds > 0 {
            let ttl = self.costs.ttl_seconds.to_be_bytes();
            self.behind(&ttl);
        }
    }

    /// Adds the prediction or rejection that was added last as a row of the history, if there is
    /// one.
    pub fn remember(&mut self, scored_at: i64) {
        let Some(cost) = self.costs.history else {
            return;
        };
        self.repeat(cost, [MutationKind::History, MutationKind::HistoryRejected]);
        self.behind(&scored_at.to_be_bytes());
    }

    /// Binds the values of a prediction (or a rejection) again, for another table.
    fn repeat(&mut self, cost: BesideCost, [made, rejected]: [MutationKind; 2]) {
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

    /// Appends one more value to the last statement.
    fn behind(&mut self, value: &[u8]) {
        push_cell(&mut self.values, Some(value));
        if let Some((_, end)) = self.statements.last_mut() {
            *end = self.values.len();
        }
    }

    /// Adds a copy of an entity's stored prediction as its current prediction. `cells` are, as they
    /// were read, the lineage, the seconds until it expires (if the job has a TTL), and the output
    /// cells. `append` is given that lineage and appends the one that is written.
    pub fn copy<'a>(
        &mut self,
        key: impl Iterator<Item = Option<&'a [u8]>>,
        version: i32,
        mut cells: impl Iterator<Item = Option<&'a [u8]>>,
        append: impl FnOnce(&[u8], &mut Vec<u8>),
    ) {
        let (lineage, ttl) = (cells.next().flatten(), cells.next().flatten());
        self.key(key, version);
        self.outputs(cells);
        self.lineage(|bytes| append(lineage.unwrap_or_default(), bytes));
        self.finish(MutationKind::Current);
        if self.costs.ttl_seconds > 0 {
            self.behind(ttl.unwrap_or_default());
        }
    }

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
        self.finish(MutationKind::Delete);
    }

    /// Deletes an entity's current prediction, whichever version it is from.
    pub fn delete_current<'a>(&mut self, key: impl Iterator<Item = Option<&'a [u8]>>) {
        push_cell(&mut self.values, Some(&self.timestamp.to_be_bytes()));
        self.estimate += PARTITION + ROW;
        for cell in key {
            push_cell(&mut self.values, cell);
        }
        self.beside += 1;
        self.finish(MutationKind::CurrentDelete);
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
            // A null is a tombstone, with its own time.
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
        // Consecutive rows of one partition form one mutation.
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

    fn finish(&mut self, kind: MutationKind) {
        self.statements.push((kind, self.values.len()));
    }

    /// Returns the number of statements for the prediction table, writes and deletes.
    pub fn rows(&self) -> usize {
        self.statements.len() - self.beside
    }

    pub(in crate::store) fn kinds(&self) -> impl Iterator<Item = MutationKind> + '_ {
        self.statements.iter().map(|(kind, _)| *kind)
    }
}

impl BatchValues for Mutations {
    type BatchValuesIter<'r> = MutationRows<'r>;

    fn batch_values_iter(&self) -> MutationRows<'_> {
        MutationRows {
            mutations: self,
            at: 0,
            start: 0,
        }
    }
}

/// Iterates over the values of the statements.
pub struct MutationRows<'m> {
    mutations: &'m Mutations,
    at: usize,
    start: usize,
}

impl<'m> MutationRows<'m> {
    fn step(&mut self) -> Option<RawValues<'m>> {
        let (_, end) = *self.mutations.statements.get(self.at)?;
        let values = &self.mutations.values[self.start..end];
        (self.at, self.start) = (self.at + 1, end);
        Some(RawValues(values))
    }
}

impl<'m> BatchValuesIterator<'m> for MutationRows<'m> {
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
