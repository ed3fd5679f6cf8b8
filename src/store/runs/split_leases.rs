//! The lease of a claimed split. Whatever its owner writes to the split goes through it, and is
//! conditional on owner and epoch.

use std::collections::BTreeMap;

use chrono::Utc;
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use super::{
    signed,
    splits::{Sampled, Split, SplitId, SplitState},
};
use crate::{
    domain::{
        evidence::{drift::Profile, statistics::OutputStatistics},
        run::Counts,
    },
    metrics,
    process::boot_time,
    store::{
        Store,
        driver::{
            codec,
            conditional::{known, or_read_back},
            error::StoreError,
            fenced_lease::{Fence, FencedLease},
        },
    },
};

const BEAT: &str = "UPDATE splits SET beat = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const RELEASE: &str = "UPDATE splits SET state = 'released', error = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const FINISH: &str = "UPDATE splits SET state = 'done', source_rows = ?, orphaned = ?, scored = ?, unchanged = ?, rejected = ?, statistics = ?, sample = ?, profile = ?, finished_at = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";

/// What a split's owner found.
#[derive(Clone, Default)]
pub struct Finished {
    pub counts: Counts,
    pub statistics: BTreeMap<i32, OutputStatistics>,
    pub sample: Vec<Sampled>,
    /// What it counted, if the run profiles what it reads.
    pub profile: Option<Profile>,
}

/// Outcome of finishing a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is done, under the lease.
    Done,
    /// Another owner holds the lease, or finished the split.
    Lost,
}

/// A claimed split. If it is dropped without an end, its lease expires.
#[derive(Debug)]
pub struct SplitLease {
    pub id: SplitId,
    /// The fencing number of this claim.
    pub epoch: i32,
    owner: Uuid,
    held: FencedLease,
    store: Store,
    _measured: metrics::GaugeGuard,
}

impl SplitLease {
    /// Sends a claim and holds the split; `None` if it was not applied. An unknown outcome is read
    /// back.
    pub(super) async fn claim(
        store: &Store,
        id: &SplitId,
        (owner, epoch): (Uuid, i32),
        claim: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<Option<Self>, StoreError> {
        let sent_at = boot_time();
        let applied = claim.await;
        if !is_held(owner, epoch, 0, applied, store.split(id)).await? {
            return Ok(None);
        }
        let beaten = id.clone();
        let name = format!("split {} of run {}", id.split, id.run_id);
        let held = FencedLease::keep(store, name, sent_at, move |store, beat| {
            let id = beaten.clone();
            async move { renew(&store, &id, (owner, epoch), beat).await }
        });
        Ok(Some(Self {
            id: id.clone(),
            epoch,
            owner,
            held,
            store: store.clone(),
            _measured: metrics::SPLITS_HELD.hold([]),
        }))
    }

    /// Must be checked before each write.
    pub fn fence(&self) -> &Fence {
        self.held.fence()
    }

    /// Releases the split, so that it can be claimed without waiting; `error` is what went wrong,
    /// if anything. If that fails, the lease expires on its own.
    pub async fn release(self, error: Option<&str>) {
        self.held.stop_beating();
        let id = &self.id;
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (error, &id.job, run_id, id.split, self.owner, self.epoch);
        if let Err(error) = self.store.apply(RELEASE, values).await {
            tracing::warn!(split = id.split, %error, "giving a split up");
        }
    }

    /// Finishes the split under its lease. An unknown outcome is read back: if this owner at this
    /// epoch is stored as done, it succeeded.
    ///
    /// # Errors
    /// As [`Store::apply`]; the lease may still be held, and the caller may try again.
    pub async fn finish(&self, finished: &Finished) -> Result<Finish, StoreError> {
        let (id, owner, epoch) = (&self.id, self.owner, self.epoch);
        let counts = &finished.counts;
        let values = (
            counts.source_rows as i64,
            counts.orphaned as i64,
            signed(&counts.scored),
            signed(&counts.unchanged),
            signed(&counts.rejected),
            codec::encode(&finished.statistics),
            codec::encode(&finished.sample),
            finished.profile.as_ref().map(codec::encode),
            Utc::now(),
            &id.job,
            CqlTimeuuid::from(id.run_id),
            id.split,
            owner,
            epoch,
        );
        // A refusal is read back as well: an earlier write of unknown outcome may have finished it.
        let applied = known(self.store.apply(FINISH, values).await)?;
        if matches!(applied, Ok(true)) {
            return Ok(Finish::Done);
        }
        let split = self.store.split(id).await?;
        let ours = split.filter(|split| split.owner == owner && split.seen.epoch == epoch);
        match ours.map(|split| split.state) {
            Some(SplitState::Done) => Ok(Finish::Done),
            // Not applied, and the lease is still held: the caller may try again.
            Some(SplitState::Claimed) => applied.map(|_| Finish::Lost),
            Some(SplitState::Released) | None => Ok(Finish::Lost),
        }
    }
}

/// Renews a lease, promptly or not at all. An unknown outcome is read back.
async fn renew(
    store: &Store,
    id: &SplitId,
    (owner, epoch): (Uuid, i32),
    beat: i64,
) -> Result<bool, StoreError> {
    let run_id = CqlTimeuuid::from(id.run_id);
    let values = (beat, &id.job, run_id, id.split, owner, epoch);
    let applied = store.renew(BEAT, values).await;
    is_held(owner, epoch, beat, applied, store.split_promptly(id)).await
}

/// Returns whether the lease is held after a conditional write; an unknown outcome is read back.
async fn is_held(
    owner: Uuid,
    epoch: i32,
    beat: i64,
    applied: Result<bool, StoreError>,
    stands: impl Future<Output = Result<Option<Split>, StoreError>>,
) -> Result<bool, StoreError> {
    let read_back = async {
        let Some(split) = stands.await? else {
            return Ok(None);
        };
        let mine =
            split.owner == owner && split.seen.epoch == epoch && split.state == SplitState::Claimed;
        match mine {
            false => Ok(Some(false)),
            true if split.seen.beat >= beat => Ok(Some(true)),
            // Still held, but watchers saw no new heartbeat.
            true => Ok(None),
        }
    };
    or_read_back(applied, read_back).await
}
