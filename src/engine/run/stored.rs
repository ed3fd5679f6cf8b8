//! Walks the prediction table in step with the source: finds the stored prediction of each row, and
//! the predictions whose source row is gone.
//!
//! Partitions come in the same order from both tables: by token, then by the serialised partition
//! key as unsigned bytes (tokens collide). Inside a partition, rows are matched by their canonical
//! clustering key, so no comparator of clustering types is needed. One partition's predictions are
//! held in memory at a time.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroI64,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::position::{Position, row_identity};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::CompiledJob,
        model::proof::{self, Prediction},
    },
    engine::predict::Stored,
    store::{
        driver::{error::StoreError, raw::Page},
        predictions::selects::Carry,
    },
};

/// Predictions whose source row is gone.
pub struct Orphans {
    /// Key cells of each prediction.
    pub keys: CellBuffer,
    /// Versions, aligned with the rows of `keys`.
    pub versions: Vec<i32>,
}

impl Orphans {
    fn none(job: &CompiledJob) -> Self {
        Self {
            keys: CellBuffer::new(job.key.len()),
            versions: Vec::new(),
        }
    }

    fn are_many(&self) -> bool {
        self.versions.len() >= MANY_ORPHANS || self.keys.byte_len() >= ORPHAN_BYTES
    }
}

/// Orphans are handed on when there are this many, or when their keys take `ORPHAN_BYTES`; all
/// orphans of a partition stay together.
const MANY_ORPHANS: usize = 5_000;
const ORPHAN_BYTES: usize = 1 << 20;

/// How many orphans' keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Only the first ones, to be read at the end.
    First(usize),
    /// All, to be taken with [`StoredPredictions::take_orphans`] whenever there are many.
    All,
}

/// The stored predictions of one row.
pub struct Standing<'s> {
    stored: &'s StoredPredictions<'s>,
    identity: u128,
}

impl Standing<'_> {
    /// Returns the stored state of a version's prediction.
    pub fn get(&self, version: i32) -> Option<Stored> {
        self.stored.get(self.identity, version)
    }

    /// Returns the cells to write to another table: the lineage, the remaining TTL, then the output
    /// cells. The TTL cell is null where the job has no TTL.
    /// Returns `None` if there is no prediction, or its cells were not read ([`Carry::Whole`]).
    pub fn whole(&self, version: i32) -> Option<impl Iterator<Item = Option<&[u8]>>> {
        let stored = self.stored;
        let at = stored.find(self.identity, version)?;
        let is_carried = stored.carry == Carry::Whole && at < stored.carried.rows();
        is_carried.then(|| stored.carried.row(at))
    }
}

struct Entry {
    identity: u128,
    version: i32,
    stored: Stored,
    /// Row in `partition_keys`, for orphans whose keys are kept.
    row: usize,
}

/// A cursor over the prediction table.
pub struct StoredPredictions<'j> {
    job: &'j CompiledJob,
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    page: Page,
    /// The page stream has ended; do not poll it again for each following row.
    ended: bool,
    at: usize,
    head: Option<Position>,
    spare: Position,
    entries: Vec<Entry>,
    matched: Vec<bool>,
    index: HashMap<(u128, i32), usize>,
    partition_keys: CellBuffer,
    scratch: Vec<u8>,
    /// Seconds; a prediction with no more TTL than this is expiring. `None`: the job has no TTL.
    expiring_below: Option<i32>,
    carry: Carry,
    /// The cells that `carry` adds, one row per entry of the current partition.
    carried: CellBuffer,
    /// Number of predictions so far whose source row is gone, by version.
    pub orphaned: BTreeMap<i32, u64>,
    /// Keys of the first orphans, as many as `keep` allows.
    pub orphans: Option<Orphans>,
    keep: Keep,
    /// Time spent waiting for pages so far.
    pub waited: Duration,
}

/// Partitions up to this size are searched without an index.
const FEW: usize = 16;

impl<'j> StoredPredictions<'j> {
    /// Returns a cursor over pages that hold: key columns, model_version, lineage.input_hash,
    /// lineage.rejected, TTL(lineage) if the job has a TTL, lineage.scored_at if it has a history,
    /// then the cells that `carry` adds. `keep` says how many orphans' keys are kept.
    pub fn new(
        job: &'j CompiledJob,
        pages: mpsc::Receiver<Result<Page, StoreError>>,
        carry: Carry,
        keep: Keep,
    ) -> Self {
        let ttl = job.rules.ttl_seconds;
        Self {
            job,
            pages,
            page: Page::default(),
            ended: false,
            at: 0,
            head: None,
            spare: Position::default(),
            entries: Vec::new(),
            matched: Vec::new(),
            index: HashMap::new(),
            partition_keys: CellBuffer::new(job.key.len()),
            scratch: Vec::new(),
            expiring_below: (ttl > 0).then_some(ttl / 10),
            carry,
            carried: CellBuffer::new(
                match carry {
                    Carry::Hash => 0,
                    Carry::Proof => proof::FIELDS.len(),
                    Carry::Whole => 2,
                } + job.target.outputs.len(),
            ),
            orphaned: BTreeMap::new(),
            orphans: (keep != Keep::First(0)).then(|| Orphans::none(job)),
            keep,
            waited: Duration::ZERO,
        }
    }

    /// Moves to a partition of the source; must be called in ascending order.
    /// Returns `false` if the cursor has not arrived because many orphans must be taken first.
    pub async fn seek(&mut self, position: &Position) -> Result<bool, StoreError> {
        self.close_partition();
        loop {
            if self.entries.is_empty() && self.has_many_orphans() {
                return Ok(false);
            }
            if self.head.is_none() && !self.advance().await? {
                break;
            }
            match self.head.as_ref().map(|head| head.cmp(position)) {
                Some(std::cmp::Ordering::Less) => {
                    self.take_entry()?;
                    self.close_partition();
                }
                Some(std::cmp::Ordering::Equal) => self.take_entry()?,
                _ => break,
            }
        }
        if self.entries.len() > FEW {
            let entries = self.entries.iter().enumerate();
            self.index
                .extend(entries.map(|(at, entry)| ((entry.identity, entry.version), at)));
        }
        Ok(true)
    }

    /// Walks to the end of the range: the remaining predictions have no source row.
    /// Returns `false` if many orphans must be taken first.
    pub async fn finish(&mut self) -> Result<bool, StoreError> {
        self.close_partition();
        loop {
            if self.has_many_orphans() {
                return Ok(false);
            }
            if self.head.is_none() && !self.advance().await? {
                return Ok(true);
            }
            self.take_entry()?;
            self.close_partition();
        }
    }

    fn has_many_orphans(&self) -> bool {
        let many = self.orphans.as_ref().is_some_and(Orphans::are_many);
        many && self.keep == Keep::All
    }

    /// Returns the orphans found since the last call, if all are kept.
    pub fn take_orphans(&mut self) -> Option<Orphans> {
        let orphans = self.orphans.as_mut();
        let orphans =
            orphans.filter(|found| self.keep == Keep::All && !found.versions.is_empty())?;
        Some(std::mem::replace(orphans, Orphans::none(self.job)))
    }

    /// Returns the stored state of a row of the current partition. Call [`StoredPredictions::mark`]
    /// for each source row first, so that its predictions do not count as orphaned.
    pub fn get(&self, identity: u128, version: i32) -> Option<Stored> {
        self.find(identity, version)
            .map(|at| self.entries[at].stored)
    }

    /// Returns the whole prediction; `None` if there is none, or its cells were not read
    /// ([`Carry::Proof`]).
    pub fn proof(&self, identity: u128, version: i32) -> Option<Prediction<'_>> {
        let at = self.find(identity, version)?;
        let is_carried = self.carry == Carry::Proof && at < self.carried.rows();
        is_carried.then(|| Prediction::new(&self.carried, at))
    }

    /// Returns the stored predictions of a row of the current partition.
    pub fn standing(&self, identity: u128) -> Standing<'_> {
        Standing {
            stored: self,
            identity,
        }
    }

    /// Records that the source has this row.
    pub fn mark(&mut self, identity: u128) {
        for at in 0..self.job.versions.len() {
            let version = self.job.versions[at].ready.version;
            if let Some(found) = self.find(identity, version) {
                self.matched[found] = true;
            }
        }
    }

    fn find(&self, identity: u128, version: i32) -> Option<usize> {
        if self.entries.len() > FEW {
            return self.index.get(&(identity, version)).copied();
        }
        self.entries
            .iter()
            .position(|entry| entry.identity == identity && entry.version == version)
    }

    /// Moves `head` to the next row; returns `false` at the end.
    async fn advance(&mut self) -> Result<bool, StoreError> {
        while self.at >= self.page.rows() {
            if self.ended {
                return Ok(false);
            }
            // Drop the finished page now: it must not keep the next page waiting.
            (self.page, self.at) = (Page::default(), 0);
            let asked = Instant::now();
            let page = self.pages.recv().await;
            self.waited += asked.elapsed();
            match page {
                None => self.ended = true,
                Some(page) => self.page = page?,
            }
        }
        let mut head = std::mem::take(&mut self.spare);
        head.set(self.page.row(self.at).take(self.job.partition_key_len))?;
        self.head = Some(head);
        Ok(true)
    }

    /// Adds the row at `head` to the current partition and moves past it.
    fn take_entry(&mut self) -> Result<(), StoreError> {
        let key_len = self.job.key.len();
        let corrupt = || {
            StoreError::corrupt(
                "a prediction row without model_version; was the table altered by hand?",
                &self.job.target.table,
            )
        };
        let row = self.at;
        let cell = |column| self.page.cell(row, column);
        let version = cell(key_len)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
            .ok_or_else(corrupt)?;
        let clustering = &self.job.key[self.job.partition_key_len..];
        let identity = row_identity(
            clustering,
            self.page
                .row(row)
                .take(key_len)
                .skip(self.job.partition_key_len),
            &mut self.scratch,
        );
        // A row without a lineage (written by hand) matches no hash, so it is scored and replaced.
        let input_hash = cell(key_len + 1)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u128::from_be_bytes);
        let runs_out = |below: i32| {
            let ttl = cell(key_len + 3).and_then(|bytes| bytes.try_into().ok());
            ttl.map(i32::from_be_bytes).is_none_or(|ttl| ttl <= below)
        };
        let expiring = input_hash.is_none() || self.expiring_below.is_some_and(runs_out);
        let ttl = usize::from(self.job.rules.ttl_seconds > 0);
        let made_at = self.job.target.history.as_ref();
        let made_at = made_at.and_then(|_| cell(key_len + 3 + ttl)?.try_into().ok());
        let stored = Stored {
            made_at: made_at.map(i64::from_be_bytes).and_then(NonZeroI64::new),
            input_hash: input_hash.unwrap_or_default(),
            rejected: cell(key_len + 2).is_some(),
            expiring,
        };
        self.entries.push(Entry {
            identity,
            version,
            stored,
            row: self.entries.len(),
        });
        self.matched.push(false);
        let made_at = usize::from(self.job.target.history.is_some());
        let mut more = self.page.row(row).skip(key_len + 3 + ttl + made_at);
        match self.carry {
            Carry::Hash => {}
            Carry::Proof => {
                let proof = [cell(key_len + 1), cell(key_len + 2)].into_iter();
                proof.chain(more).for_each(|cell| self.carried.push(cell));
            }
            Carry::Whole => {
                let left = (ttl > 0).then(|| cell(key_len + 3)).flatten();
                let whole = [more.next().flatten(), left].into_iter();
                whole.chain(more).for_each(|cell| self.carried.push(cell));
            }
        }
        if self.orphans.is_some() {
            let page = &self.page;
            page.row(row)
                .take(key_len)
                .for_each(|cell| self.partition_keys.push(cell));
        }
        self.at += 1;
        self.spare = self.head.take().unwrap_or_default();
        // The next head is in the same page, so it needs no wait.
        if self.at < self.page.rows() {
            let mut head = std::mem::take(&mut self.spare);
            head.set(self.page.row(self.at).take(self.job.partition_key_len))?;
            self.head = Some(head);
        }
        Ok(())
    }

    fn close_partition(&mut self) {
        for (entry, matched) in self.entries.iter().zip(&self.matched) {
            if *matched {
                continue;
            }
            *self.orphaned.entry(entry.version).or_default() += 1;
            let room = match self.keep {
                Keep::First(kept) => kept,
                Keep::All => usize::MAX,
            };
            if let Some(orphans) = &mut self.orphans
                && orphans.versions.len() < room
            {
                let cells = self.partition_keys.row(entry.row);
                cells.for_each(|cell| orphans.keys.push(cell));
                orphans.versions.push(entry.version);
            }
        }
        self.entries.clear();
        self.matched.clear();
        self.index.clear();
        self.partition_keys.clear();
        self.carried.clear();
    }
}
