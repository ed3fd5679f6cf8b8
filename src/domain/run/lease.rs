//! Leases without wall clocks or expiry columns.
//!
//! A lease row holds `(owner, epoch, beat)`. Its owner raises `beat` while it works. Another
//! process may take it over only after it has seen `(epoch, beat)` unchanged for the whole lease
//! time on its *own* monotonic clock (CLOCK_BOOTTIME, which also runs while the machine sleeps).
//! The owner stops writing if it could not renew within the lease time, measured from before its
//! last successful renewal was *sent*; so it always stops before another process may take over.
//!
//! All times here are durations since boot on that clock.

use std::time::Duration;

/// Observed state of a lease, which may be taken over if it is unchanged for the lease time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The fencing number.
    pub epoch: i32,
    /// The owner's heartbeat counter.
    pub beat: i64,
}

/// Watches one lease of another owner.
#[derive(Debug, Clone)]
pub struct Watch {
    seen: Seen,
    since: Duration,
}

impl Watch {
    /// Starts to watch at `now`, a time not before the read of `seen` returned.
    pub fn new(seen: Seen, now: Duration) -> Self {
        Self { seen, since: now }
    }

    /// Adds a later observation.
    pub fn observe(&mut self, seen: Seen, now: Duration) {
        if seen != self.seen {
            *self = Self::new(seen, now);
        }
    }

    /// Returns how long it must still remain unchanged; zero: it may be taken over.
    pub fn remaining(&self, lease: Duration, now: Duration) -> Duration {
        lease.saturating_sub(now.saturating_sub(self.since))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Seen, Watch};

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_lease_is_free_after_the_lease_time_of_watching() {
        let seen = Seen { epoch: 1, beat: 4 };
        let mut watch = Watch::new(seen.clone(), at(100));
        watch.observe(seen, at(114));
        assert_eq!(watch.remaining(LEASE, at(114)), at(1));
        assert_eq!(watch.remaining(LEASE, at(115)), Duration::ZERO);
    }

    #[test]
    fn a_beat_or_a_new_epoch_starts_the_watch_again() {
        let mut watch = Watch::new(Seen { epoch: 1, beat: 4 }, at(100));
        watch.observe(Seen { epoch: 1, beat: 5 }, at(114));
        assert_eq!(watch.remaining(LEASE, at(115)), at(14));
        watch.observe(Seen { epoch: 2, beat: 5 }, at(120));
        assert_eq!(watch.remaining(LEASE, at(120)), LEASE);
    }

    #[test]
    fn a_clock_that_steps_back_lets_nobody_in_early() {
        let watch = Watch::new(Seen { epoch: 1, beat: 4 }, at(100));
        assert_eq!(watch.remaining(LEASE, at(50)), LEASE);
    }
}
