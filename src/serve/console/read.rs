//! Reads of control tables: each at most once a second, whoever looks.

use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::Console;
use crate::{
    serve::{caller::Caller, error::ApiError},
    store::{Store, admin::workers::WorkerRow, driver::error::StoreError, streams::StreamRow},
};

/// Age until which a read is shared.
const FRESH: Duration = Duration::from_secs(1);
/// Age until which it is good enough to know which processes run: they report every few seconds.
const PROCESSES_FRESH: Duration = Duration::from_secs(5);
/// Number of kept reads above which old ones are forgotten.
const KEPT: usize = 256;

type CachedRead = tokio::sync::Mutex<Option<(Instant, Arc<dyn Any + Send + Sync>)>>;

/// What was read within the last second, by what it is.
#[derive(Default)]
pub struct ReadCache(Mutex<HashMap<String, (Instant, Arc<CachedRead>)>>);

impl ReadCache {
    /// Forgets everything: who has just acted sees what came of it.
    pub fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn slot(&self, key: &str) -> Arc<CachedRead> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > KEPT {
            slots.retain(|_, (used, _)| used.elapsed() < FRESH * 10);
        }
        let entry = slots.entry(key.to_owned());
        let (used, slot) = entry.or_insert_with(|| (Instant::now(), Arc::default()));
        *used = Instant::now();
        Arc::clone(slot)
    }
}

/// Reads for one page of one viewer.
pub struct PageReader<'a> {
    pub console: &'a Console,
    pub caller: &'a Caller,
    reads: AtomicU32,
}

impl<'a> PageReader<'a> {
    pub fn new(console: &'a Console, caller: &'a Caller) -> Self {
        Self {
            console,
            caller,
            reads: AtomicU32::new(0),
        }
    }

    /// Returns the store. What is read past [`Self::read`] is neither shared nor counted.
    pub fn store(&self) -> &'a Store {
        &self.console.serving.store
    }

    /// Returns the number of reads that the page needed, shared ones included.
    pub fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Returns what `read` finds, or what it found within the last second. `key` says what is read:
    /// it must differ for different statements and values. Readers that come meanwhile wait for the
    /// same read.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn read<T, F>(
        &self,
        key: String,
        read: impl FnOnce(&'a Store) -> F,
    ) -> Result<Arc<T>, ApiError>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, StoreError>>,
    {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_within(FRESH, key, read).await
    }

    /// Returns the workers that reported within the last minute. Like [`Self::streams`] it is read
    /// for all pages together, at most every five seconds, and is not counted as a page's read.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn workers(&self) -> Result<Arc<Vec<WorkerRow>>, ApiError> {
        self.read_within(PROCESSES_FRESH, "workers".to_owned(), |store| {
            store.workers()
        })
        .await
    }

    /// Returns the members of all streams that reported of late.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn streams(&self) -> Result<Arc<Vec<StreamRow>>, ApiError> {
        self.read_within(PROCESSES_FRESH, "streams".to_owned(), |store| {
            store.streams()
        })
        .await
    }

    async fn read_within<T, F>(
        &self,
        fresh: Duration,
        key: String,
        read: impl FnOnce(&'a Store) -> F,
    ) -> Result<Arc<T>, ApiError>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, StoreError>>,
    {
        let slot = self.console.cache.slot(&key);
        let mut held = slot.lock().await;
        if let Some((at, value)) = held.as_ref()
            && at.elapsed() < fresh
            && let Ok(value) = Arc::clone(value).downcast::<T>()
        {
            return Ok(value);
        }
        // Boxed: the futures of statements are large, and a page has several.
        let value = Arc::new(Box::pin(read(self.store())).await?);
        *held = Some((Instant::now(), Arc::<T>::clone(&value)));
        Ok(value)
    }
}
