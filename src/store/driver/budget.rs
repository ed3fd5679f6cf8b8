//! Limits the bytes of rows in the process: pages that were read or are being read, and batches on
//! their way to the models and to Cassandra.
//!
//! A reader that holds rows may wait for another reader's rows (a walk reads two tables in step).
//! So waiting for room must not block the reader on which the others depend: a [`Reader`] that
//! holds nothing never waits.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Bytes of pages and batches. Some rows are always let through (a page per table and a batch for
/// each of eight readers, and a batch that is being filled); with them, the process holds 64 MiB of
/// rows.
pub const ROW_BYTES: usize = 48 << 20;

/// The bytes that all readers of a process share.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    in_use: Mutex<usize>,
    freed: Notify,
}

impl Budget {
    /// Returns a budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            in_use: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Returns a reader that holds nothing yet.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            budget: Arc::clone(self),
            holds: Arc::default(),
        }
    }

    /// Counts `bytes` if there is room for them, or if they must be let through (`anyway`).
    fn add(&self, bytes: usize, anyway: bool) -> bool {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = anyway || *in_use + bytes <= self.limit;
        if fits {
            *in_use += bytes;
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        *in_use = in_use.saturating_sub(bytes);
        drop(in_use);
        self.freed.notify_waiters();
    }
}

/// One reader of rows, or one writer of batches.
#[derive(Debug)]
pub struct Reader {
    budget: Arc<Budget>,
    /// Shared with each [`Share`] of this reader.
    holds: Arc<()>,
}

impl Reader {
    /// Waits until there is room for `bytes`, or until this reader holds nothing.
    pub async fn take(&self, bytes: usize) -> Share {
        loop {
            let freed = self.budget.freed.notified();
            tokio::pin!(freed);
            // From here on no notification is missed.
            freed.as_mut().enable();
            let holds_nothing = Arc::strong_count(&self.holds) == 1;
            if self.budget.add(bytes, holds_nothing) {
                return Share {
                    budget: Arc::clone(&self.budget),
                    bytes,
                    held: Some(Arc::clone(&self.holds)),
                };
            }
            freed.await;
        }
    }
}

/// Bytes that are in use; dropping it gives them back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
    held: Option<Arc<()>>,
}

impl Share {
    /// Changes the number of bytes held. Rows that turn out larger than expected are counted at
    /// once, and delay other readers until they are given back.
    pub fn resize(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => drop(self.budget.add(more, true)),
            None => self.budget.give_back(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Before the notification: the reader that wakes up must see that it holds nothing.
        self.held = None;
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_reader_waits_for_room_but_never_empty_handed() {
        let budget = Budget::new(100);
        let (one, other) = (budget.reader(), budget.reader());
        let mut first = one.take(60).now_or_never().unwrap();
        let its_only_one = other.take(60).now_or_never().unwrap();
        assert!(one.take(1).now_or_never().is_none(), "20 over the limit");
        first.resize(20);
        let second = one.take(20).now_or_never().unwrap();
        assert!(other.take(1).now_or_never().is_none());
        drop(its_only_one);
        assert!(other.take(1_000).now_or_never().is_some());
        drop((first, second));
        assert_eq!(*budget.in_use.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_once_it_holds_nothing() {
        let budget = Budget::new(100);
        let (one, other) = (budget.reader(), budget.reader());
        let all = other.take(100).await;
        let first = one.take(1).await;
        let waiting = tokio::spawn(async move { drop(one.take(50).await) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        drop(all);
    }
}
