//! What a member of a group has between two rebalances.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::consumer::ConsumerGroupMetadata;

use crate::domain::job::stream::Ties;

/// The partitions that this member has between two rebalances.
pub struct Generation {
    /// What a transaction is committed with.
    pub metadata: ConsumerGroupMetadata,
    /// Offsets of the first messages, of the partitions that were read before.
    pub starts: BTreeMap<i32, i64>,
    /// The write timestamps before the first message, by partition.
    pub ties: BTreeMap<i32, Ties>,
    is_over: AtomicBool,
    /// Held while a transaction is under way.
    transaction: Mutex<()>,
}

impl Generation {
    /// Returns a generation that begins.
    pub(super) fn new(
        metadata: ConsumerGroupMetadata,
        starts: BTreeMap<i32, i64>,
        ties: BTreeMap<i32, Ties>,
    ) -> Self {
        Self {
            metadata,
            starts,
            ties,
            is_over: AtomicBool::new(false),
            transaction: Mutex::new(()),
        }
    }

    /// Returns whether the partitions may belong to another member by now.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Keeps the partitions until the guard is dropped; `None` if they are gone.
    pub fn hold(&self) -> Option<MutexGuard<'_, ()>> {
        let held = self
            .transaction
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (!self.is_over()).then_some(held)
    }

    /// Waits for the transaction under way; no other one begins.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        drop(
            self.transaction
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
