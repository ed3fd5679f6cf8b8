//! `splits`: the parts of a run. A split's row appears when it is first claimed; every later write
//! goes through the claim's lease ([`SplitLease`]).

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
        driver::{codec, columns::Cell, error::StoreError},
        runs::split_leases::SplitLease,
    },
};

const CLAIM_NEW: &str = "INSERT INTO splits (job, run_id, split, state, owner, epoch, beat, process, deaths, claimed_at) VALUES (?, ?, ?, 'claimed', ?, 1, 0, ?, 0, ?) IF NOT EXISTS";
const CLAIM_AGAIN: &str = "UPDATE splits SET state = 'claimed', owner = ?, epoch = ?, beat = 0, process = ?, deaths = ?, error = null, claimed_at = ? WHERE job = ? AND run_id = ? AND split = ? IF epoch = ? AND beat = ? AND state = ?";
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

    /// Returns a split's row as [`Store::split`] does, promptly or not at all.
    pub(super) async fn split_promptly(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.serial_row_promptly(READ, key).await?)
    }

    /// Returns a split's row by a plain read. The row may be outdated, but a finished split is
    /// final. Costs Cassandra far less than [`Store::split`] or a futile claim.
    pub async fn glimpse_split(&self, id: &SplitId) -> Result<Option<Split>, StoreError> {
        let key = (&id.job, CqlTimeuuid::from(id.run_id), id.split);
        split(self.row(READ, key).await?)
    }

    /// Claims a split that was never claimed, at epoch 1. Returns `None` if another owner did.
    pub async fn claim_new_split(
        &self,
        id: &SplitId,
        by: &Claimant,
    ) -> Result<Option<SplitLease>, StoreError> {
        let run_id = CqlTimeuuid::from(id.run_id);
        let values = (&id.job, run_id, id.split, by.owner, &by.process, Utc::now());
        SplitLease::claim(self, id, (by.owner, 1), self.apply(CLAIM_NEW, values)).await
    }

    /// Claims a split that `seen` describes, at the next epoch. Returns `None` if anything has
    /// changed since: a heartbeat in between wins.
    pub async fn claim_split_again(
        &self,
        id: &SplitId,
        seen: &Split,
        deaths: i32,
        by: &Claimant,
    ) -> Result<Option<SplitLease>, StoreError> {
        let epoch = seen.seen.epoch + 1;
        let state = match seen.state {
            SplitState::Claimed => "claimed",
            SplitState::Released => "released",
            SplitState::Done => return Ok(None),
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
        SplitLease::claim(self, id, (by.owner, epoch), self.apply(CLAIM_AGAIN, values)).await
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
}
