//! Claims splits: new ones, released ones, and those whose owner crashed or stopped heartbeating.

use std::time::{Duration, Instant};

use super::context::RunContext;
use crate::{
    domain::run::split_queue::SplitQueue,
    metrics,
    process::{boot_time, is_gone},
    store::{
        driver::error::{StoreError, StoreErrorKind},
        runs::{
            split_leases::SplitLease,
            splits::{Claimant, Split, SplitId, SplitState},
        },
    },
};

/// Maximum number of claims of one split: a run's timestamps have room for this many epochs.
const MAX_EPOCH: i32 = 1_000;
/// How often a claim is sent while its outcome is unknown.
const CLAIM_TRIES: u32 = 5;

/// The result of an attempt to claim a split.
pub(super) enum Claim {
    Mine {
        lease: SplitLease,
        /// Owners that vanished while they worked on it.
        deaths: i32,
    },
    Done,
    Held(Box<Split>),
    /// Claimed before. Its owner may have crashed on it, so such splits are reclaimed one at a time
    /// ([`Claims::claim`]).
    NotNew,
}

/// Whose splits may be claimed: only those without an earlier owner, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Nobody,
    Anybody,
}

/// Claims splits of one run for one process.
pub(super) struct Claims<'a> {
    pub context: &'a RunContext,
    pub by: &'a Claimant,
    /// What the process knows of splits that others hold.
    pub queue: &'a SplitQueue,
}

impl Claims<'_> {
    /// Claims a split that is new, released or abandoned by its owner.
    pub async fn claim(&self, split: i32) -> Result<Claim, StoreError> {
        self.claim_from(From::Anybody, split).await
    }

    /// Claims a split if it is new.
    pub async fn claim_new(&self, split: i32) -> Result<Claim, StoreError> {
        self.claim_from(From::Nobody, split).await
    }

    /// Claims a split, and retries while the outcome is unknown. If an earlier try was applied
    /// after all, the split turns out to be owned by this process and is claimed at the next epoch.
    async fn claim_from(&self, from: From, split: i32) -> Result<Claim, StoreError> {
        let mut tries = 1;
        loop {
            match self.claim_once(from, split).await {
                Err(error) if error.kind == StoreErrorKind::Unknown && tries < CLAIM_TRIES => {
                    tracing::debug!(split, %error, "claiming again");
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn claim_once(&self, from: From, split: i32) -> Result<Claim, StoreError> {
        let store = &self.context.store;
        let id = SplitId {
            job: self.context.run.job.clone(),
            run_id: self.context.run.run_id,
            split,
        };
        let is_new = !self.queue.is_held(split)
            // Every worker tries every split: a read costs less than a failed conditional write.
            && match store.glimpse_split(&id).await? {
                None => true,
                Some(seen) if seen.state == SplitState::Done => return Ok(Claim::Done),
                Some(seen)
                    if seen.state == SplitState::Claimed
                        && seen.owner != self.by.owner
                        && !self.is_gone(split, &seen) =>
                {
                    return Ok(Claim::Held(Box::new(seen)));
                }
                Some(_) => false,
            };
        if is_new && let Some(lease) = measured("new", store.claim_new_split(&id, self.by)).await? {
            return Ok(Claim::Mine { lease, deaths: 0 });
        }
        if from == From::Nobody {
            return Ok(Claim::NotNew);
        }
        let Some(seen) = store.split(&id).await? else {
            // Not claimed and no row exists: the insert was not applied. The caller retries.
            return Err(StoreError {
                kind: StoreErrorKind::Unknown,
                detail: format!("split {split} could not be claimed"),
                cql: "INSERT INTO splits".to_owned(),
            });
        };
        let deaths = match seen.state {
            SplitState::Done => return Ok(Claim::Done),
            SplitState::Released => 0,
            SplitState::Claimed if seen.owner == self.by.owner => seen.deaths,
            SplitState::Claimed if self.is_gone(split, &seen) => seen.deaths + 1,
            SplitState::Claimed => return Ok(Claim::Held(Box::new(seen))),
        };
        if seen.seen.epoch >= MAX_EPOCH {
            return Err(StoreError::corrupt(
                format!(
                    "split {split} was claimed {MAX_EPOCH} times; cancel the run and ask for a new one"
                ),
                "UPDATE splits",
            ));
        }
        let claim = store.claim_split_again(&id, &seen, deaths, self.by);
        Ok(match measured("again", claim).await? {
            Some(lease) => Claim::Mine { lease, deaths },
            None => Claim::Held(Box::new(seen)),
        })
    }

    /// Returns whether a split's owner is provably dead, or has been silent for the whole lease
    /// time.
    pub fn is_gone(&self, split: i32, seen: &Split) -> bool {
        let lease = self.context.store.settings().lease;
        is_gone(&seen.process) || self.queue.is_silent(split, &seen.seen, lease, boot_time())
    }
}

async fn measured(
    outcome: &str,
    claim: impl Future<Output = Result<Option<SplitLease>, StoreError>>,
) -> Result<Option<SplitLease>, StoreError> {
    let began = Instant::now();
    let lease = claim.await?;
    metrics::CLAIM_SECONDS.histogram().record(began.elapsed());
    let outcome = lease.as_ref().map_or("collision", |_| outcome);
    metrics::CLAIMS.counter([outcome]).increment(1);
    Ok(lease)
}
