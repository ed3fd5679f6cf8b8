//! `splits`: the parts of a run and their leases. A split's row appears when it is first claimed;
//! every later write is conditional on owner and epoch.

use std::collections::BTreeMap;

use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store, codec,
    error::{StoreError, StoreErrorKind},
    runs::{counts, signed},
};
use crate::domain::{lease::Seen, run::Counts, statistics::OutputStatistics};

const CLAIM_NEW: &str = "INSERT INTO splits (job, run_id, split, state, owner, epoch, beat, process, deaths, claimed_at) VALUES (?, ?, ?, 'claimed', ?, 1, 0, ?, 0, ?) IF NOT EXISTS";
const CLAIM_AGAIN: &str = "UPDATE splits SET state = 'claimed', owner = ?, epoch = ?, beat = 0, process = ?, deaths = ?, error = null, claimed_at = ? WHERE job = ? AND run_id = ? AND split = ? IF epoch = ? AND beat = ? AND state = ?";
const BEAT: &str = "UPDATE splits SET beat = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const RELEASE: &str = "UPDATE splits SET state = 'released', error = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const FINISH: &str = "UPDATE splits SET state = 'done', source_rows = ?, orphaned = ?, scored = ?, unchanged = ?, rejected = ?, statistics = ?, sample = ?, finished_at = ? WHERE job = ? AND run_id = ? AND split = ? IF owner = ? AND epoch = ? AND state = 'claimed'";
const READ: &str = "SELECT state, owner, epoch, beat, process, error, deaths, source_rows, orphaned, scored, unchanged, rejected, statistics, sample FROM splits WHERE job = ? AND run_id = ? AND split = ?";

/// `splits.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitState {
    /// Under a lease.
    Claimed,
    /// Given up by its owner, free to claim at once.
    Released,
    /// Finished; nothing follows.
    Done,
}

/// A split's row.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Split {
    pub state: SplitState,
    pub owner: Uuid,
    pub seen: Seen,
    /// The owner's process, as `worker::process` writes it.
    pub process: String,
    /// What the last owner met, if it could say so.
    pub error: Option<String>,
    /// How many owners vanished without a word.
    pub deaths: i32,
    pub counts: Counts,
    pub statistics: BTreeMap<i32, OutputStatistics>,
    pub sample: Vec<Sampled>,
}

/// A row that a split wrote, for the closer to read back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sampled {
    /// Key cells in the form of `raw::RawValues`.
    pub key: Vec<u8>,
    /// The model version.
    pub version: i32,
    /// What `lineage.input_hash` must be.
    pub input_hash: u128,
}

/// The name of a split.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct SplitId {
    pub job: String,
    pub run_id: Uuid,
    pub split: i32,
}

/// Who claims, and as which process.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Claimant {
    pub owner: Uuid,
    pub process: String,
}

/// What a split's owner found.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct Finished {
    pub counts: Counts,
    pub statistics: BTreeMap<i32, OutputStatistics>,
    pub sample: Vec<Sampled>,
}

/// What became of a write that needs the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Done under the lease.
    Yes,
    /// The lease is somebody else's, or the split is done.
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
                source_rows: self.source_rows.unwrap_or(0) as u64,
                orphaned: self.orphaned.unwrap_or(0) as u64,
                scored: counts(self.scored),
                unchanged: counts(self.unchanged),
                rejected: counts(self.rejected),
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

fn now() -> CqlTimestamp {
    CqlTimestamp(chrono::Utc::now().timestamp_millis())
}

fn split(row: Option<SplitRow>) -> Result<Option<Split>, StoreError> {
    row.map(|row| {
        row.into_split()
            .map_err(|error| StoreError::corrupt(error, READ))
    })
    .transpose()
}

impl Store {
    /// A split's row after every decided conditional write; `None`: never claimed.
    pub async fn split(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.serial_row(READ, key).await?)
    }

    /// A split's row as a plain read finds it: it may be behind, but what it says of a finished
    /// split is final. Asks far less of Cassandra than [`Store::split`] or a claim in vain.
    pub async fn glimpse_split(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.row(READ, key).await?)
    }

    /// Claims a split that nobody has claimed yet, at epoch 1.
    pub async fn claim_new_split(&self, id: &SplitId, by: &Claimant) -> Result<Held, StoreError> {
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (&id.job, run_id, id.split, by.owner, &by.process, now());
        self.held(
            id,
            by.owner,
            1,
            0,
            self.apply(CLAIM_NEW, values)
                .await
                .map(|applied| applied.yes()),
        )
        .await
    }

    /// Claims a split that `seen` describes, at the next epoch. Fails when anything has changed
    /// since, so a beat in between wins.
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
            now(),
            &id.job,
            CqlTimeuuid::from(id.run_id),
            id.split,
            seen.seen.epoch,
            seen.seen.beat,
            state,
        );
        let applied = self.apply(CLAIM_AGAIN, values).await;
        self.held(id, by.owner, epoch, 0, applied.map(|applied| applied.yes()))
            .await
    }

    /// Renews a lease.
    pub async fn beat_split(
        &self,
        id: &SplitId,
        owner: Uuid,
        epoch: i32,
        beat: i64,
    ) -> Result<Held, StoreError> {
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (beat, &id.job, run_id, id.split, owner, epoch);
        self.held(
            id,
            owner,
            epoch,
            beat,
            self.apply(BEAT, values).await.map(|applied| applied.yes()),
        )
        .await
    }

    /// Gives a split up, so that it can be claimed without waiting; with what went wrong, if anything.
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

    /// Finishes a split under its lease. An unknown outcome is read back: done by this owner at
    /// this epoch is done.
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
            now(),
            &id.job,
            CqlTimeuuid::from(id.run_id),
            id.split,
            owner,
            epoch,
        );
        match self.apply(FINISH, values).await {
            Ok(applied) if applied.yes() => Ok(Held::Yes),
            Err(error) if error.kind != StoreErrorKind::Unknown => Err(error),
            unsure => match self.split(id).await? {
                Some(split)
                    if split.owner == owner
                        && split.seen.epoch == epoch
                        && split.state == SplitState::Done =>
                {
                    Ok(Held::Yes)
                }
                Some(split)
                    if split.owner == owner
                        && split.seen.epoch == epoch
                        && split.state == SplitState::Claimed =>
                {
                    // Not applied, and the lease still holds: the caller may try again.
                    unsure.map(|_| Held::Lost)
                }
                _ => Ok(Held::Lost),
            },
        }
    }

    /// Whether the lease is held after a conditional write; an unknown outcome is read back.
    async fn held(
        &self,
        id: &SplitId,
        owner: Uuid,
        epoch: i32,
        beat: i64,
        applied: Result<bool, StoreError>,
    ) -> Result<Held, StoreError> {
        match applied {
            Ok(true) => Ok(Held::Yes),
            Ok(false) => Ok(Held::Lost),
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                let Some(split) = self.split(id).await? else {
                    return Err(error);
                };
                let mine = split.owner == owner
                    && split.seen.epoch == epoch
                    && split.state == SplitState::Claimed;
                match mine {
                    false => Ok(Held::Lost),
                    true if split.seen.beat >= beat => Ok(Held::Yes),
                    // Still held, but watchers saw no new beat.
                    true => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}
