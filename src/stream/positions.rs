//! How far a member has read its partitions: `stream_positions`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    batch::{NextPosition, ReadyBatch},
    generation::Generation,
    reader::PartitionEnds,
};
use crate::{
    domain::job::stream::Ties,
    store::{
        Store,
        driver::error::StoreError,
        streams::{StreamPosition, StreamRow},
    },
};

/// How far the partitions of one generation are read.
///
/// A rebalance may give any of them to another member: what was known of them says nothing then.
#[derive(Clone)]
pub struct Positions {
    generation: Arc<Generation>,
    next: BTreeMap<i32, NextPosition>,
}

impl Positions {
    /// Returns where a generation begins, so that its lag is known before its first message.
    pub fn at_start(generation: Arc<Generation>) -> Self {
        let start = |(partition, offset): (&i32, &i64)| {
            let position = NextPosition {
                offset: *offset,
                ties: Ties::default(),
                message_at: None,
            };
            (*partition, position)
        };
        let next = generation.starts.iter().map(start).collect();
        Self { generation, next }
    }

    /// Returns whether they are those of this generation.
    pub fn are_of(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.generation, generation)
    }

    /// Moves on to where a batch of the same generation ended.
    pub fn advance(&mut self, batch: &ReadyBatch) {
        self.next.extend(batch.positions.clone());
    }
}

/// Writes positions that have changed since it wrote them.
#[derive(Default)]
pub struct PositionWriter {
    /// Offset of the next message and end of the partition, as written.
    written: BTreeMap<i32, (i64, Option<i64>)>,
    /// Also positions of partitions that may be another member's by now, which writes them again.
    is_leaver: bool,
}

impl PositionWriter {
    /// Returns what writes the last positions of a member.
    pub fn of_a_leaver() -> Self {
        Self {
            is_leaver: true,
            ..Self::default()
        }
    }

    /// Writes positions, and returns the lag of all of them.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn write(
        &mut self,
        store: &Store,
        row: &StreamRow,
        positions: Positions,
        ends: Arc<PartitionEnds>,
    ) -> Result<i64, StoreError> {
        let Positions { generation, next } = positions;
        let partitions: Vec<i32> = next.keys().copied().collect();
        let ends: BTreeMap<i32, i64> = tokio::task::spawn_blocking(move || {
            // The first one that does not answer is enough of waiting.
            let end = |partition: i32| Some((partition, ends.end(partition)?));
            partitions.into_iter().map_while(end).collect()
        })
        .await
        .unwrap_or_default();
        let mut lag = 0;
        for (partition, next) in next {
            // Its next owner writes it; this would overwrite what is newer.
            if generation.is_over() && !self.is_leaver {
                break;
            }
            let end = ends.get(&partition).copied();
            let position = StreamPosition {
                job: row.job.clone(),
                topic: row.topic.clone(),
                partition,
                position: next.offset,
                end_position: end,
                message_at: next.message_at,
                member: row.member,
                updated_at: row.beat_at,
            };
            lag += position.lag().unwrap_or_default();
            if self.written.get(&partition) == Some(&(next.offset, end)) {
                continue;
            }
            store.write_stream_position(&position).await?;
            self.written.insert(partition, (next.offset, end));
        }
        Ok(lag)
    }
}
