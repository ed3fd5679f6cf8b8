//! `splits`: the parts of a run and their leases. A split's row appears when it is first claimed;
//! every later write is conditional on owner and epoch.

use std::collections::BTreeMap;

use chrono::Utc;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::{
        evidence::{drift::Profile, statistics::OutputStatistics},
        run::{Counts, lease::Seen},
    },
    store::{
        Store,
        driver::{
            codec,
            columns::Cell,
            conditional::{known, or_read_back},
            error::StoreError,
        },
        runs::signed,
    },
};

const CLAIM_NEW: &str = "INSERT INTO splits (job, run_id, split, state, owner, epoch, beat, process, deaths, claimed_at) VALUES (?, ?, ?, 'claimed', ?, 1, 0, ?, 0, ?) IF NOT EXISTS";
const CLAIM_AGAIN: &str = "UPDATE splits SET state = 'claimed', owner = ?, epoch = ?, beat = 0, process = ?, deaths = ?, error = null, claimed_at = ? WHERE job = ? AND run_id = ? AND split = ? IF epoch = ? AND beat = ? AND state = ?";
const BEAT: &str = "UPDATE splits SET beat = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const RELEASE: &str = "UPDATE splits SET state = 'released', error = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const FINISH: &str = "UPDATE splits SET state = 'done', source_rows = ?, orphaned = ?, scored = ?, unchanged = ?, rejected = ?, statistics = ?, sample = ?, profile = ?, finished_at = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const READ: &str = "SELECT state, owner, epoch, beat, process, error, deaths, source_rows, orphaned, scored, unchanged, rejected, statistics, sample FROM splits WHERE job = ? AND run_id = ? AND split = ?";

const PROFILE: &str = "SELECT profile FROM splits WHERE job = ? AND run_id = ? AND split = ?";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitState {
    /// Under a lease.
    Claimed,
    /// Given up by its owner, free to claim at once.
    Released,
    /// Finished; this state is final.
    Done,
}

/// A row of `splits`.
#[derive(Debug, Clone)]
pub struct Split {
    pub state: SplitState,
    pub owner: Uuid,
    pub seen: Seen,
    /// The owner's process, in the form of [`crate::process::identity`].
    pub process: String,
    /// Error of the last owner, if the owner could report it.
    pub error: Option<String>,
    /// Number of owners that vanished without releasing the split.
    pub deaths: i32,
    pub counts: Counts,
    pub statistics: BTreeMap<i32, OutputStatistics>,
    pub sample: Vec<Sampled>,
}

/// A row that a split wrote, which the closer reads back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sampled {
    /// Key cells in the form of `raw::RawValues`.
    pub key: Vec<u8>,
    pub version: i32,
    /// The expected `lineage.input_hash`.
    pub input_hash: u128,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SplitId {
    pub job: String,
    pub run_id: Uuid,
    pub split: i32,
}

/// The owner id and the process of a claim.
#[derive(Debug, Clone)]
pub struct Claimant {
    pub owner: Uuid,
    pub process: String,
}

/// What a split's owner found.
#[derive(Clone, Default)]
pub struct Finished {
    pub counts: Counts,
    pub statistics: BTreeMap<i32, OutputStatistics>,
    pub sample: Vec<Sampled>,
    /// What it counted, if the run profiles what it reads.
    pub profile: Option<Profile>,
}

/// Outcome of a write that needs the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Done under the lease.
    Yes,
    /// Another owner holds the lease, or the split is done.
    Lost,
}

#[derive(DeserializeRow)]
struct SplitRow {
    state: String,
    owner: Uuid,
    epoch: i32,
    beat: i64,
    process: Option<String>,
    error: Option<String>,
    deaths: Option<i32>,
    source_rows: Option<i64>,
    orphaned: Option<i64>,
    scored: Option<BTreeMap<i32, i64>>,
    unchanged: Option<BTreeMap<i32, i64>>,
    rejected: Option<BTreeMap<i32, i64>>,
    statistics: Option<Vec<u8>>,
    sample: Option<Vec<u8>>,
}

impl SplitRow {
    fn into_split(self) -> Result<Split, String> {
        let state = match self.state.as_str() {
            "claimed" => SplitState::Claimed,
            "released" => SplitState::Released,
            "done" => SplitState::Done,
            other => return Err(format!("unknown split state `{other}`")),
        };
        Ok(Split {
            state,
            owner: self.owner,
            seen: Seen {
                epoch: self.epoch,
                beat: self.beat,
            },
            process: self.process.unwrap_or_default(),
            error: self.error,
            deaths: self.deaths.unwrap_or(0),
            counts: Counts {
                source_rows: self.source_rows.cell(),
                orphaned: self.orphaned.cell(),
                scored: self.scored.cell(),
                unchanged: self.unchanged.cell(),
                rejected: self.rejected.cell(),
            },
            statistics: self
                .statistics
                .map_or(Ok(BTreeMap::new()), |bytes| codec::decode(&bytes))?,
            sample: self
                .sample
                .map_or(Ok(Vec::new()), |bytes| codec::decode(&bytes))?,
        })
    }
}

fn split(row: Option<SplitRow>) -> Result<Option<Split>, StoreError> {
    row.map(|row| {
        row.into_split()
            .map_err(|error| StoreError::corrupt(error, READ))
    })
    .transpose()
}

impl Store {
    /// Returns a split's row after every decided conditional write; `None`: it was never claimed.
    pub async fn split(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.serial_row(READ, key).await?)
    }

    /// Returns a split's row by a plain read. The row may be outdated, but a finished split is
    /// final. Costs Cassandra far less than [`Store::split`] or a futile claim.
    pub async fn glimpse_split(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.row(READ, key).await?)
    }

    /// Claims a split that was never claimed, at epoch 1.
    pub async fn claim_new_split(&self, id: &SplitId, by: &Claimant) -> Result<Held, StoreError> {
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (&id.job, run_id, id.split, by.owner, &by.process, Utc::now());
        let applied = self.apply(CLAIM_NEW, values).await;
        held(by.owner, 1, 0, applied, self.split(id)).await
    }

    /// Claims a split that `seen` describes, at the next epoch. Fails if anything has changed
    /// since, so a heartbeat in between wins.
    pub async fn claim_split_again(
        &self,
        id: &SplitId,
        seen: &Split,
        deaths: i32,
        by: &Claimant,
    ) -> Result<Held, StoreError> {
        let epoch = seen.seen.epoch + 1;
        let state = match seen.state {
            SplitState::Claimed => "claimed",
            SplitState::Released => "released",
            SplitState::Done => return Ok(Held::Lost),
        };
        let values = (
            by.owner,
            epoch,
            &by.process,
            deaths,
            Utc::now(),
            &id.job,
            CqlTimeuuid::from(id.run_id),
            id.split,
            seen.seen.epoch,
            seen.seen.beat,
            state,
        );
        let applied = self.apply(CLAIM_AGAIN, values).await;
        held(by.owner, epoch, 0, applied, self.split(id)).await
    }

    /// Returns what a finished split counted.
    pub async fn split_profile(&self, id: &SplitId) -> Result<Option<Profile>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        let row: Option<(Option<Vec<u8>>,)> = self.serial_row(PROFILE, key).await?;
        row.and_then(|(profile,)| profile)
            .map(|bytes| codec::decode(&bytes))
            .transpose()
            .map_err(|error| StoreError::corrupt(error, PROFILE))
    }

    /// Renews a lease, promptly or not at all. An unknown outcome is read back.
    pub async fn beat_split(
        &self,
        id: &SplitId,
        owner: Uuid,
        epoch: i32,
        beat: i64,
    ) -> Result<Held, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        let values = (beat, key.0, key.1, key.2, owner, epoch);
        let applied = self.renew(BEAT, values).await;
        let stands = async { split(self.serial_row_promptly(READ, key).await?) };
        held(owner, epoch, beat, applied, stands).await
    }

    /// Releases a split, so that it can be claimed without waiting; `error` is what went wrong, if
    /// anything.
    pub async fn release_split(
        &self,
        id: &SplitId,
        owner: Uuid,
        epoch: i32,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (error, &id.job, run_id, id.split, owner, epoch);
        self.apply(RELEASE, values).await.map(drop)
    }

    /// Finishes a split under its lease. An unknown outcome is read back: if this owner at this
    /// epoch is stored as done, it succeeded.
    pub async fn finish_split(
        &self,
        id: &SplitId,
        owner: Uuid,
        epoch: i32,
        finished: &Finished,
    ) -> Result<Held, StoreError> {
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
        let applied = known(self.apply(FINISH, values).await)?;
        if matches!(applied, Ok(true)) {
            return Ok(Held::Yes);
        }
        let split = self.split(id).await?;
        let ours = split.filter(|split| split.owner == owner && split.seen.epoch == epoch);
        match ours.map(|split| split.state) {
            Some(SplitState::Done) => Ok(Held::Yes),
            // Not applied, and the lease is still held: the caller may try again.
            Some(SplitState::Claimed) => applied.map(|_| Held::Lost),
            Some(SplitState::Released) | None => Ok(Held::Lost),
        }
    }
}

/// Returns whether the lease is held after a conditional write; an unknown outcome is read back.
async fn held(
    owner: Uuid,
    epoch: i32,
    beat: i64,
    applied: Result<bool, StoreError>,
    stands: impl Future<Output = Result<Option<Split>, StoreError>>,
) -> Result<Held, StoreError> {
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
    match or_read_back(applied, read_back).await? {
        true => Ok(Held::Yes),
        false => Ok(Held::Lost),
    }
}
