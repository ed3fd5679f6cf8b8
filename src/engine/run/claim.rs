//! Claims splits: new ones, released ones, and those whose owner crashed or stopped heartbeating.

use std::time::{Duration, Instant};

use super::work::Work;
use crate::{
    domain::run::lease::Watch,
    metrics,
    process::{boot_time, is_gone},
    store::{
        driver::error::{StoreError, StoreErrorKind},
        runs::{
            split_leases::SplitLease,
            splits::{Split, SplitId, SplitState},
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
        deaths: i32,
    },
    Done,
    Held(Box<Split>),
    /// Claimed before. Its owner may have crashed on it, so such splits are reclaimed one at a time
    /// ([`Work::claim`]).
    NotNew,
}

/// Whose splits may be claimed: only those without an earlier owner, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Nobody,
    Anybody,
}

impl Work {
    pub(super) fn id(&self, split: i32) -> SplitId {
        SplitId {
            job: self.context.run.job.clone(),
            run_id: self.context.run.run_id,
            split,
        }
    }

    /// Claims splits while there is room for more.
    pub(super) async fn fill(&mut self) -> Result<(), StoreError> {
        if self.running.is_empty() {
            self.alone = false;
            if let Some(lease) = self.suspect.take() {
                self.alone = true;
                self.start(lease);
            }
        }
        while self.may_claim() && !self.todo.is_empty() && self.seat.may_take() {
            // Claims as many splits at once as there is room for. At its start a run sends one
            // claim per split slot, and each claim takes two round trips.
            let mut next = Vec::new();
            while self.seat.may_take()
                && let Some(split) = self.todo.pop_front()
            {
                next.push(split);
                let held = self.running.len() + next.len();
                self.seat.tell(held, !self.todo.is_empty());
            }
            let claims = next.iter().map(|split| self.claim_new(*split));
            let claims = futures::future::join_all(claims).await;
            let mut failed = None;
            let mut old = Vec::new();
            for (split, claim) in next.into_iter().zip(claims) {
                match claim {
                    Ok(Claim::NotNew) => old.push(split),
                    Ok(claim) => self.claimed(split, claim).await?,
                    Err(error) => {
                        self.todo.push_back(split);
                        failed = Some(error);
                    }
                }
            }
            self.seat.tell(self.running.len(), !self.todo.is_empty());
            if let Some(error) = failed {
                return Err(error);
            }
            for split in old {
                if !(self.may_claim() && self.seat.may_take()) {
                    self.todo.push_front(split);
                    continue;
                }
                let claim = self.claim(split).await?;
                self.claimed(split, claim).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn claimed(&mut self, split: i32, claim: Claim) -> Result<(), StoreError> {
        match claim {
            Claim::Done => self.done += 1,
            Claim::Held(seen) => self.watch(split, *seen),
            Claim::Mine { lease, deaths } => self.take(lease, deaths).await?,
            // Unreachable from `claim`; only `claim_new` returns it.
            Claim::NotNew => self.todo.push_back(split),
        }
        Ok(())
    }

    /// Claims a split that is new, released or abandoned by its owner.
    pub(super) async fn claim(&self, split: i32) -> Result<Claim, StoreError> {
        self.claim_from(From::Anybody, split).await
    }

    /// Claims a split if it is new.
    pub(super) async fn claim_new(&self, split: i32) -> Result<Claim, StoreError> {
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
        let (store, id) = (&self.context.store, self.id(split));
        let is_new = !self.watched.contains_key(&split)
            // Every worker tries every split: a read costs less than a failed conditional write.
            && match store.glimpse_split(&id).await? {
                None => true,
                Some(seen) if seen.state == SplitState::Done => return Ok(Claim::Done),
                Some(seen)
                    if seen.state == SplitState::Claimed
                        && seen.owner != self.by.owner
                        && !self.gone(split, &seen) =>
                {
                    return Ok(Claim::Held(Box::new(seen)));
                }
                Some(_) => false,
            };
        if is_new && let Some(lease) = measured("new", store.claim_new_split(&id, &self.by)).await?
        {
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
            SplitState::Claimed if self.gone(split, &seen) => seen.deaths + 1,
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
        let claim = store.claim_split_again(&id, &seen, deaths, &self.by);
        Ok(match measured("again", claim).await? {
            Some(lease) => Claim::Mine { lease, deaths },
            None => Claim::Held(Box::new(seen)),
        })
    }

    /// Returns whether a split's owner is provably dead, or has been silent for the whole lease
    /// time.
    pub(super) fn gone(&self, split: i32, seen: &Split) -> bool {
        is_gone(&seen.process) || self.expired(split, seen)
    }

    fn expired(&self, split: i32, seen: &Split) -> bool {
        let lease = self.context.store.settings().lease;
        self.watched.get(&split).is_some_and(|(watch, before)| {
            before.seen == seen.seen && watch.remaining(lease, boot_time()).is_zero()
        })
    }

    pub(super) fn watch(&mut self, split: i32, seen: Split) {
        let now = boot_time();
        let entry = self.watched.entry(split);
        let (watch, before) =
            entry.or_insert_with(|| (Watch::new(seen.seen.clone(), now), seen.clone()));
        watch.observe(seen.seen.clone(), now);
        *before = seen;
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
