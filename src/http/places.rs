//! Places for connections. A new connection takes the place of an idle one if all are taken.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::OwnedNotified};

/// Interval at which idle connections are asked for their places while none is free.
pub(super) const ASK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    total: usize,
    /// Idle connections wait here; the one that has waited longest is woken first.
    wanted: Arc<Notify>,
}

impl Places {
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            wanted: Arc::default(),
        }
    }

    /// Waits for a place, which is free again when the permit is dropped.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        let mut has_asked = false;
        loop {
            if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
                if has_asked {
                    self.withdraw();
                }
                return place;
            }
            self.wanted.notify_one();
            has_asked = true;
            let free = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(ASK, free).await {
                self.withdraw();
                return place;
            }
        }
    }

    /// Takes back a demand that no idle connection has heard: the next one to be idle, which may be
    /// a new one, would give up its place for nothing.
    fn withdraw(&self) {
        let unheard = pin!(self.wanted.notified());
        unheard.enable();
    }

    /// Returns a future that ends when an idle connection should give up its place.
    pub fn wanted(&self) -> OwnedNotified {
        Arc::clone(&self.wanted).notified_owned()
    }

    /// Waits until all places are free. Returns the number of those that are still taken after the
    /// time.
    pub async fn wait_until_free(&self, limit: Duration) -> usize {
        let all = u32::try_from(self.total).unwrap_or(u32::MAX);
        let all = self.free.acquire_many(all);
        match tokio::time::timeout(limit, all).await {
            Ok(_) => 0,
            // The places that were free belong to the wait until here.
            Err(_) => self.total - self.free.available_permits().min(self.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_place_of_the_longest_idle_connection_is_asked_for_first() {
        let places = Arc::new(Places::new(2));
        let (first, second) = (places.take().await, places.take().await);
        let idle = |place| {
            let mut wanted = Box::pin(places.wanted());
            wanted.as_mut().enable();
            async move {
                wanted.await;
                drop(place);
            }
        };
        let (first, second) = (idle(first), idle(second));
        let waiting = tokio::spawn(second);
        tokio::spawn(first);
        let third = places.take().await;
        assert!(!waiting.is_finished());
        assert_eq!(places.wait_until_free(Duration::from_millis(1)).await, 2);
        drop(third);
        waiting.abort();
        assert_eq!(places.wait_until_free(Duration::from_secs(60)).await, 0);
    }

    #[tokio::test]
    async fn a_demand_that_was_met_otherwise_costs_no_place() {
        let places = Arc::new(Places::new(1));
        let first = places.take().await;
        let taking = Arc::clone(&places);
        let second = tokio::spawn(async move { taking.take().await });
        // It asks while no connection is idle.
        tokio::time::sleep(2 * ASK).await;
        drop(first);
        let _second = second.await.unwrap();
        let mut wanted = pin!(places.wanted());
        assert!(!wanted.as_mut().enable(), "the demand was not withdrawn");
    }
}
