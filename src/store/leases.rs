//! Leases on names, in table `leases`: `ddl`, `admission/<model>/<version>`.
//!
//! A lease is free when its owner is null. Its owner raises `beat` three times a lease time while
//! it works. Somebody else takes it over only after having watched `(epoch, beat)` stay unchanged
//! for the whole lease time on its own clock, or when the owner's process is provably gone from
//! this machine. The owner stops when it could not renew for the lease time, counted from before
//! its last successful renewal was sent: so it always stops before anybody may take over.
//!
//! A frozen process (SIGSTOP, a long pause) finds out only when it looks: call [`Lease::check`]
//! right before each step that must not be done by two. A step that is already on its way can't
//! be called back; what must not be harmed by that needs fencing by `epoch`.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    statement::Applied,
};
use crate::{
    domain::lease::{Seen, Watch},
    process::{self, boot_time},
};

const SELECT: &str = "SELECT owner, epoch, beat, process, attempts FROM leases WHERE name = ?";
const CREATE: &str = "INSERT INTO leases (name, owner, epoch, beat, process, attempts) VALUES (?, ?, 1, 0, ?, 1) IF NOT EXISTS";
const CLAIM: &str = "UPDATE leases SET owner = ?, epoch = ?, beat = 0, process = ?, attempts = ? WHERE name = ? IF owner = ? AND epoch = ? AND beat = ?";
const BEAT: &str = "UPDATE leases SET beat = ? WHERE name = ? IF owner = ? AND epoch = ?";
const RELEASE: &str = "UPDATE leases SET owner = null, process = null, attempts = 0 WHERE name = ? IF owner = ? AND epoch = ?";

/// How often a waiter looks at a lease that somebody else holds.
const LOOK: Duration = Duration::from_millis(250);

/// A lease as its row says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseRow {
    /// Whose it is; `None`: free.
    pub owner: Option<Uuid>,
    /// Raised by each claim; 0 before the first.
    pub epoch: i32,
    /// The owner's sign of life.
    pub beat: i64,
    /// The owner's [`process::identity`].
    pub process: Option<String>,
    /// Claims since the last clean release, this one included.
    pub attempts: i32,
}

/// What asking for a lease gave.
#[derive(Debug)]
pub enum Asked {
    /// It is ours.
    Granted(Lease),
    /// Somebody else holds it, as this row says.
    Held(LeaseRow),
}

/// Watches leases that others hold, for one process. Keep it between two attempts to take the
/// same lease: a lease that is silent is taken over only by who has watched it.
#[derive(Debug, Default)]
pub struct Watches(HashMap<String, Watch>);

/// A lease that this process holds; renewed in the background until released or dropped.
///
/// Dropping it without [`Lease::release`] leaves it to be taken over, `attempts` uncleared: that
/// is how a death looks, too.
#[derive(Debug)]
pub struct Lease {
    name: String,
    owner: Uuid,
    epoch: i32,
    attempts: i32,
    lease: Duration,
    held: Arc<Held>,
    beating: tokio::task::JoinHandle<()>,
    store: Store,
}

/// Until when the lease is ours: nanoseconds of [`boot_time`]; 0 once it was lost.
#[derive(Debug)]
struct Held(AtomicU64);

impl Held {
    fn renewed(&self, sent_at: Duration, lease: Duration) {
        let until = u64::try_from((sent_at + lease).as_nanos()).unwrap_or(u64::MAX);
        // Never brings back what was lost.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old != 0).then_some(until.max(old))
            });
    }

    fn lost(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn is_ours(&self) -> bool {
        boot_time().as_nanos() < u128::from(self.0.load(Ordering::Acquire))
    }
}

impl Lease {
    /// The fencing number: it rises with every claim of this name.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Claims since the last clean release, this one included: above 1, somebody died at this work.
    pub fn attempts(&self) -> i32 {
        self.attempts
    }

    /// Whether nobody else can hold it now.
    pub fn is_ours(&self) -> bool {
        self.held.is_ours()
    }

    /// Call right before each step that must not be done by two.
    ///
    /// # Errors
    /// When the lease could not be renewed in time, or somebody took it over.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_ours() {
            return Ok(());
        }
        Err(StoreError {
            kind: StoreErrorKind::Unavailable,
            detail: format!(
                "the lease `{}` could not be renewed within {} s",
                self.name,
                self.lease.as_secs()
            ),
            cql: BEAT.to_owned(),
        })
    }

    /// Gives it back and clears `attempts`.
    ///
    /// # Errors
    /// As [`Store::apply`]; whoever wants the lease then waits for the lease time.
    pub async fn release(self) -> Result<(), StoreError> {
        // First stop beating: a beat after the release would be refused, one on its way is waited for.
        self.beating.abort();
        let values = (&self.name, self.owner, self.epoch);
        match self.store.apply(RELEASE, values).await {
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                let row = self.store.lease(&self.name).await?;
                if row.owner == Some(self.owner) && row.epoch == self.epoch {
                    return Err(error);
                }
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beating.abort();
        self.held.lost();
    }
}

impl Store {
    /// The lease's row, after every decided conditional write.
    pub async fn lease(&self, name: &str) -> Result<LeaseRow, StoreError> {
        type Row = (
            Option<Uuid>,
            Option<i32>,
            Option<i64>,
            Option<String>,
            Option<i32>,
        );
        let row = self.serial_row::<Row>(SELECT, (name,)).await?;
        Ok(row.map_or_else(
            LeaseRow::default,
            |(owner, epoch, beat, process, attempts)| LeaseRow {
                owner,
                epoch: epoch.unwrap_or(0),
                beat: beat.unwrap_or(0),
                process,
                attempts: attempts.unwrap_or(0),
            },
        ))
    }

    /// Asks once. A lease that is held is remembered in `watches`, and taken over by a later call
    /// once it has been silent for the lease time.
    ///
    /// # Errors
    /// As [`Store::apply`], but for an unknown outcome: that is read back here.
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
            let condition = (row.owner, row.epoch, row.beat);
            self.apply(
                CLAIM,
                (
                    owner,
                    epoch,
                    process,
                    attempts,
                    name,
                    condition.0,
                    condition.1,
                    condition.2,
                ),
            )
            .await
        };
        let granted = match outcome {
            Ok(Applied::Yes) => true,
            Ok(Applied::No(_)) => false,
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                self.lease(name).await?.owner == Some(owner)
            }
            Err(error) => return Err(error),
        };
        if !granted {
            return Ok(Asked::Held(self.lease(name).await?));
        }
        let lease = self.settings().lease;
        let held = Arc::new(Held(AtomicU64::new(1)));
        held.renewed(sent_at, lease);
        let beating = tokio::spawn(beat(
            self.clone(),
            name.to_owned(),
            owner,
            epoch,
            held.clone(),
        ));
        Ok(Asked::Granted(Lease {
            name: name.to_owned(),
            owner,
            epoch,
            attempts,
            lease,
            held,
            beating,
            store: self.clone(),
        }))
    }

    /// Waits for a lease for at most `patience`. `told` hears once who holds it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Held`] when it was not granted in time.
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
                            .map_or_else(|| "somebody".to_owned(), process::spoken);
                        return Err(StoreError {
                            kind: StoreErrorKind::Held,
                            detail: format!("the lease `{name}` is held by {holder}"),
                            cql: CLAIM.to_owned(),
                        });
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

async fn beat(store: Store, name: String, owner: Uuid, epoch: i32, held: Arc<Held>) {
    let lease = store.settings().lease;
    let mut beat = 0_i64;
    loop {
        tokio::time::sleep(lease / 3).await;
        beat += 1;
        let sent_at = boot_time();
        match store.apply(BEAT, (beat, &name, owner, epoch)).await {
            Ok(Applied::Yes) => held.renewed(sent_at, lease),
            Ok(Applied::No(_)) => {
                held.lost();
                tracing::warn!(lease = name, "was taken over by somebody else");
                return;
            }
            // Not renewed, as far as we know: the next beat tries again, and time runs on.
            Err(error) => tracing::warn!(lease = name, %error, "could not be renewed"),
        }
    }
}
