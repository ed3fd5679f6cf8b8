//! Holds a split: the heartbeat that renews its lease, and the fence that stops its owner in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    metrics,
    process::boot_time,
    store::{
        Store,
        runs::splits::{Claimant, Held, SplitId},
    },
};

/// The time until which the owner may send, on the clock of `process::boot_time`.
///
/// A watcher takes a split over no earlier than one lease time after it saw the last heartbeat,
/// which is after that heartbeat was sent. So an owner that stops one lease time after *sending*
/// its last acknowledged heartbeat has always stopped before the takeover.
#[derive(Debug, Clone)]
pub struct Fence(Arc<AtomicU64>);

impl Fence {
    fn until(deadline: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(deadline.as_millis() as u64)))
    }

    /// Returns whether the lease still holds.
    pub fn may_send(&self) -> bool {
        (boot_time().as_millis() as u64) < self.0.load(Ordering::Acquire)
    }

    fn extend(&self, deadline: Duration) {
        self.0
            .fetch_max(deadline.as_millis() as u64, Ordering::AcqRel);
    }

    fn close(&self) {
        self.0.store(0, Ordering::Release);
    }
}

/// A claimed split. Dropping it stops the heartbeat, so the lease expires.
#[derive(Debug)]
pub struct Lease {
    pub id: SplitId,
    /// The fencing number of this claim.
    pub epoch: i32,
    /// Must be checked before each write.
    pub fence: Fence,
    beat: JoinHandle<()>,
    _measured: metrics::GaugeGuard,
}

impl Lease {
    /// Starts the heartbeat of a split that was claimed by a request sent at `claimed_at`.
    pub fn start(
        store: &Store,
        by: &Claimant,
        id: SplitId,
        epoch: i32,
        claimed_at: Duration,
    ) -> Self {
        let lease = store.settings().lease;
        let fence = Fence::until(claimed_at + lease);
        let beat = tokio::spawn(beat(
            store.clone(),
            by.clone(),
            id.clone(),
            epoch,
            fence.clone(),
            lease,
        ));
        Self {
            id,
            epoch,
            fence,
            beat,
            _measured: metrics::SPLITS_HELD.hold([]),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

async fn beat(store: Store, by: Claimant, id: SplitId, epoch: i32, fence: Fence, lease: Duration) {
    let mut beat = 0;
    let mut pause = lease / 3;
    loop {
        tokio::time::sleep(pause).await;
        beat += 1;
        let sent_at = boot_time();
        match store.beat_split(&id, by.owner, epoch, beat).await {
            Ok(Held::Yes) => {
                fence.extend(sent_at + lease);
                pause = lease / 3;
            }
            Ok(Held::Lost) => {
                tracing::warn!(split = id.split, epoch, "the lease was taken over");
                fence.close();
                return;
            }
            // Not renewed. If this continues, the fence closes when its deadline passes.
            Err(error) => {
                tracing::warn!(split = id.split, %error, "could not renew the lease");
                pause = lease / 20;
            }
        }
    }
}
