//! Leases on names, in table `leases`: `ddl`, `admission/<model>/<version>`.
//!
//! A lease is free when its owner is null. Its owner raises `beat` three times per lease time while
//! it works. Another process takes the lease over only in two cases: it has observed `(epoch,
//! beat)` unchanged for the whole lease time on its own clock, or the owner's process is provably
//! gone from this machine. The owner stops if it could not renew for the lease time, counted from
//! before its last successful renewal was sent. So the owner always stops before another process
//! may take over.
//!
//! A frozen process (SIGSTOP, a long pause) finds out only when it checks: call [`Lease::check`]
//! right before each step that two processes must not both do. A step that is already on its way
//! cannot be called back; data that this could harm needs fencing by `epoch`.

use std::{collections::HashMap, time::Duration};

use scylla::DeserializeRow;
use uuid::Uuid;

use crate::{
    domain::run::lease::{Seen, Watch},
    process::{self, boot_time},
    store::{
        Store,
        driver::{
            conditional::or_read_back,
            error::{StoreError, StoreErrorKind},
            fenced_lease::FencedLease,
        },
    },
};

const SELECT: &str = "SELECT owner, epoch, beat, process, attempts FROM leases WHERE name = ?";
const CREATE: &str = "INSERT INTO leases (name, owner, epoch, beat, process, attempts) VALUES (?, ?, 1, 0, ?, 1) IF NOT EXISTS";
const CLAIM: &str = "UPDATE leases SET owner = ?, epoch = ?, beat = 0, process = ?, attempts = ? WHERE name = ? IF owner = ? AND epoch = ? AND beat = ?";
const BEAT: &str = "UPDATE leases SET beat = ? WHERE name = ? IF owner = ? AND epoch = ?";
const RELEASE: &str = "UPDATE leases SET owner = null, process = null, attempts = 0 WHERE name = ? IF owner = ? AND epoch = ?";

/// Interval at which a waiter reads a lease that another process holds.
const LOOK: Duration = Duration::from_millis(250);

/// A row of `leases`.
#[derive(Debug, Clone, PartialEq, Eq, Default, DeserializeRow)]
pub struct LeaseRow {
    /// The owner; `None`: the lease is free.
    pub owner: Option<Uuid>,
    /// Raised by each claim; 0 before the first.
    #[scylla(default_when_null)]
    pub epoch: i32,
    /// The owner's heartbeat.
    #[scylla(default_when_null)]
    pub beat: i64,
    /// The owner's [`process::identity`].
    pub process: Option<String>,
    /// Claims since the last clean release, including this one.
    #[scylla(default_when_null)]
    pub attempts: i32,
}

/// Outcome of requesting a lease.
#[derive(Debug)]
pub enum Asked {
    /// This process got the lease.
    Granted(Lease),
    /// Another process holds the lease, as this row shows.
    Held(LeaseRow),
}

/// Watches leases that other processes hold, for one process. Keep it between two attempts to take
/// the same lease: only a process that has watched a silent lease may take it over.
#[derive(Debug, Default)]
pub struct Watches(HashMap<String, Watch>);

/// A lease that this process holds; renewed in the background until released or dropped.
///
/// If it is dropped without [`Lease::release`], another process can take it over, with `attempts`
/// uncleared; a crash looks the same.
#[derive(Debug)]
pub struct Lease {
    name: String,
    owner: Uuid,
    epoch: i32,
    attempts: i32,
    held: FencedLease,
    store: Store,
}

impl Lease {
    /// Returns the fencing number, which rises with every claim of this name.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Returns the claims since the last clean release, including this one. Above 1, a process
    /// crashed at this work.
    pub fn attempts(&self) -> i32 {
        self.attempts
    }

    /// Returns whether this process certainly holds the lease now, so that no other process can.
    pub fn is_ours(&self) -> bool {
        self.held.fence().may_send()
    }

    /// Checks that the lease is held. Call it right before each step that two processes must not
    /// both do.
    ///
    /// # Errors
    /// The lease could not be renewed in time, or another process took it over.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_ours() {
            return Ok(());
        }
        let detail = format!(
            "the lease `{}` could not be renewed within {} s",
            self.name,
            self.store.settings().lease.as_secs()
        );
        Err(StoreError::new(StoreErrorKind::Unavailable, detail, BEAT))
    }

    /// Releases the lease and clears `attempts`.
    ///
    /// # Errors
    /// As [`Store::apply`]; other processes then have to wait for the lease time.
    pub async fn release(self) -> Result<(), StoreError> {
        // First stop the heartbeat: a heartbeat after the release would be refused, one on its way
        // is waited for.
        self.held.stop_beating();
        let values = (&self.name, self.owner, self.epoch);
        let read_back = async {
            let row = self.store.lease(&self.name).await?;
            let still_ours = row.owner == Some(self.owner) && row.epoch == self.epoch;
            Ok((!still_ours).then_some(true))
        };
        let released = self.store.apply_or_read_back(RELEASE, values, read_back);
        released.await.map(drop)
    }
}

impl Store {
    /// Returns the lease's row, after every decided conditional write.
    pub async fn lease(&self, name: &str) -> Result<LeaseRow, StoreError> {
        let row = self.serial_row(SELECT, (name,)).await?;
        Ok(row.unwrap_or_default())
    }

    /// Requests a lease once. A lease that is held is recorded in `watches`, and a later call takes
    /// it over once it has been silent for the lease time.
    ///
    /// # Errors
    /// As [`Store::apply`], except for an unknown outcome, which is read back here.
    pub async fn ask_lease(&self, name: &str, watches: &mut Watches) -> Result<Asked, StoreError> {
        let row = self.lease(name).await?;
        let now = boot_time();
        if row.owner.is_some() {
            let seen = Seen {
                epoch: row.epoch,
                beat: row.beat,
            };
            let watch = watches
                .0
                .entry(name.to_owned())
                .or_insert_with(|| Watch::new(seen.clone(), now));
            watch.observe(seen, now);
            let gone = row.process.as_deref().is_some_and(process::is_gone);
            if !gone && !watch.remaining(self.settings().lease, now).is_zero() {
                return Ok(Asked::Held(row));
            }
        }
        watches.0.remove(name);
        self.claim(name, row).await
    }

    async fn claim(&self, name: &str, row: LeaseRow) -> Result<Asked, StoreError> {
        let owner = Uuid::new_v4();
        let process = process::identity();
        let (epoch, attempts) = (row.epoch + 1, row.attempts + 1);
        let sent_at = boot_time();
        let outcome = if row.epoch == 0 {
            self.apply(CREATE, (name, owner, process)).await
        } else {
            let values = (
                owner, epoch, process, attempts, name, row.owner, row.epoch, row.beat,
            );
            self.apply(CLAIM, values).await
        };
        let granted = or_read_back(outcome, async {
            Ok(Some(self.lease(name).await?.owner == Some(owner)))
        });
        if !granted.await? {
            return Ok(Asked::Held(self.lease(name).await?));
        }
        let beaten = name.to_owned();
        let held = FencedLease::keep(self, name.to_owned(), sent_at, move |store, beat| {
            let name = beaten.clone();
            async move { store.renew(BEAT, (beat, &name, owner, epoch)).await }
        });
        Ok(Asked::Granted(Lease {
            name: name.to_owned(),
            owner,
            epoch,
            attempts,
            held,
            store: self.clone(),
        }))
    }

    /// Waits for a lease for at most `patience`. `told` is called once with the current holder.
    ///
    /// # Errors
    /// [`StoreErrorKind::Held`] if it was not granted in time.
    pub async fn wait_lease(
        &self,
        name: &str,
        patience: Duration,
        told: impl FnOnce(&LeaseRow),
    ) -> Result<Lease, StoreError> {
        let until = boot_time() + patience;
        let mut watches = Watches::default();
        let mut told = Some(told);
        loop {
            match self.ask_lease(name, &mut watches).await? {
                Asked::Granted(lease) => return Ok(lease),
                Asked::Held(row) => {
                    if boot_time() >= until {
                        let holder = row
                            .process
                            .as_deref()
                            .map_or_else(|| "somebody".to_owned(), process::readable);
                        let detail = format!("the lease `{name}` is held by {holder}");
                        return Err(StoreError::new(StoreErrorKind::Held, detail, CLAIM));
                    }
                    if let Some(told) = told.take() {
                        told(&row);
                    }
                }
            }
            tokio::time::sleep(LOOK.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }
}
