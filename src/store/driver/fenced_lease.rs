//! A lease that is renewed in the background, and the fence that stops its holder in time.
//!
//! A watcher takes a lease over no earlier than one lease time after it saw the last heartbeat,
//! which is after that heartbeat was sent. So a holder that stops one lease time after *sending*
//! its last acknowledged heartbeat has always stopped before the takeover.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use super::error::StoreError;
use crate::{process::boot_time, store::Store};

/// Until when the holder of a lease may write: nanoseconds of [`boot_time`], 0 once the lease was
/// lost or let go.
#[derive(Debug, Clone)]
pub struct Fence(Arc<AtomicU64>);

impl Fence {
    fn until(deadline: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(nanoseconds(deadline))))
    }

    /// Returns whether this process certainly holds the lease now, so that no other process can.
    pub fn may_send(&self) -> bool {
        boot_time().as_nanos() < u128::from(self.0.load(Ordering::Acquire))
    }

    /// Opens the fence for longer, unless it was closed: a lost lease is never restored.
    fn extend(&self, deadline: Duration) {
        let extended = |old| (old != 0).then_some(nanoseconds(deadline).max(old));
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    fn close(&self) {
        self.0.store(0, Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A lease that this process holds. Dropping it ends the heartbeat and closes the fence.
#[derive(Debug)]
pub struct FencedLease {
    fence: Fence,
    beating: JoinHandle<()>,
}

impl FencedLease {
    /// Renews a lease that was granted by a request sent at `sent_at`. `renew` sends a heartbeat
    /// with this number, and returns whether the lease was still held. `name` is for the log.
    pub fn keep<R>(
        store: &Store,
        name: String,
        sent_at: Duration,
        renew: impl Fn(Store, i64) -> R + Send + 'static,
    ) -> Self
    where
        R: Future<Output = Result<bool, StoreError>> + Send + 'static,
    {
        let fence = Fence::until(sent_at + store.settings().lease);
        let beating = tokio::spawn(beat(store.clone(), name, fence.clone(), renew));
        Self { fence, beating }
    }

    /// Must be checked before each write that two holders must not both make.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Sends no further heartbeat: after a release it would be refused.
    pub fn stop_beating(&self) {
        self.beating.abort();
    }
}

impl Drop for FencedLease {
    fn drop(&mut self) {
        self.beating.abort();
        self.fence.close();
    }
}

async fn beat<R>(store: Store, name: String, fence: Fence, renew: impl Fn(Store, i64) -> R)
where
    R: Future<Output = Result<bool, StoreError>>,
{
    let lease = store.settings().lease;
    let mut beat = 0;
    let mut pause = lease / 3;
    loop {
        sleep(pause).await;
        pause = lease / 3;
        beat += 1;
        let sent_at = boot_time();
        match renew(store.clone(), beat).await {
            Ok(true) => fence.extend(sent_at + lease),
            Ok(false) => {
                fence.close();
                tracing::warn!(lease = name, "was taken over by another process");
                return;
            }
            // Not renewed, as far as this process knows: the next heartbeat tries again before the
            // fence closes.
            Err(error) => {
                tracing::warn!(lease = name, %error, "could not be renewed");
                pause = lease / 20;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Fence;
    use crate::process::boot_time;

    #[test]
    fn a_closed_fence_never_opens_again() {
        let soon = boot_time() + Duration::from_secs(60);
        let fence = Fence::until(soon);
        assert!(fence.may_send());
        fence.close();
        fence.extend(soon + Duration::from_secs(60));
        assert!(!fence.may_send());
    }

    #[test]
    fn a_fence_opens_again_if_a_late_heartbeat_arrived_in_time() {
        let past = boot_time().saturating_sub(Duration::from_millis(1));
        let fence = Fence::until(past);
        assert!(!fence.may_send());
        fence.extend(boot_time() + Duration::from_secs(60));
        assert!(fence.may_send());
        fence.extend(past);
        assert!(fence.may_send());
    }
}
