//! Claiming a split: new, given up, or left behind by a process that is gone or silent.

use std::time::{Duration, Instant};

use super::work::Work;
use crate::{
    domain::lease::Watch,
    metrics,
    process::{boot_time, is_gone},
    store::{
        error::{StoreError, StoreErrorKind},
        splits::{Held, Split, SplitId, SplitState},
    },
};

/// Timestamps of a run have room for this many claims of one split.
const MAX_EPOCH: i32 = 1_000;
/// How often a claim is sent while it does not arrive.
const CLAIM_TRIES: u32 = 5;

/// What an attempt to claim a split gave.
pub(super) enum Claim {
    Mine {
        epoch: i32,
        deaths: i32,
        claimed_at: Duration,
    },
    Done,
    Held(Box<Split>),
}

impl Work {
    pub(super) fn id(&self, split: i32) -> SplitId {
        SplitId {
            job: self.context.run.job.clone(),
            run_id: self.context.run.run_id,
            split,
        }
    }

    /// Tries again where nobody knows whether the claim arrived: if it did after all, the split is
    /// found to be ours, and is claimed at the next epoch.
    pub(super) async fn claim(&self, split: i32) -> Result<Claim, StoreError> {
        let mut tries = 1;
        loop {
            match self.claim_once(split).await {
                Err(error) if error.kind == StoreErrorKind::Unknown && tries < CLAIM_TRIES => {
                    tracing::debug!(split, %error, "claiming again");
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn claim_once(&self, split: i32) -> Result<Claim, StoreError> {
        let (store, id) = (&self.context.store, self.id(split));
        let is_new = !self.watched.contains_key(&split)
            // Every worker comes by every split: a look costs less than a claim in vain.
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
        let claimed_at = boot_time();
        if is_new && measured("new", store.claim_new_split(&id, &self.by)).await? == Held::Yes {
            let (epoch, deaths) = (1, 0);
            return Ok(Claim::Mine {
                epoch,
                deaths,
                claimed_at,
            });
        }
        let Some(seen) = store.split(&id).await? else {
            // Neither claimed nor there: the insert was not applied. It will be tried again.
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
        let claimed_at = boot_time();
        Ok(
            match measured(
                "again",
                store.claim_split_again(&id, &seen, deaths, &self.by),
            )
            .await?
            {
                Held::Yes => Claim::Mine {
                    epoch: seen.seen.epoch + 1,
                    deaths,
                    claimed_at,
                },
                Held::Lost => Claim::Held(Box::new(seen)),
            },
        )
    }

    /// Whether a split's owner is certainly dead, or has been silent for the whole lease time.
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
    claim: impl Future<Output = Result<Held, StoreError>>,
) -> Result<Held, StoreError> {
    let began = Instant::now();
    let held = claim.await?;
    metrics::CLAIM_SECONDS.histogram().record(began.elapsed());
    let outcome = if held == Held::Yes {
        outcome
    } else {
        "collision"
    };
    metrics::CLAIMS.counter([outcome]).increment(1);
    Ok(held)
}
