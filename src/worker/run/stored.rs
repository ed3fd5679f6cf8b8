//! The prediction table, walked in step with the source: what stands for each row, and which
//! predictions have lost their row.
//!
//! Partitions come in the same order from both tables: token, then the serialised partition key as
//! unsigned bytes (tokens collide). Inside a partition rows are matched by their canonical
//! clustering key, so no comparator of clustering types is needed; one partition's predictions
//! are held in memory at a time.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroI64,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::Stored;
use crate::{
    domain::{
        cells::CellBuffer,
        job::CompiledJob,
        key,
        proof::{self, Prediction},
        schema::Column,
    },
    store::{error::StoreError, raw::Page, scan::token_of, selects::Carry},
};

/// Where a partition stands in its table.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Murmur3 of the serialised key.
    pub token: i64,
    /// The serialised key.
    pub partition_key: Vec<u8>,
}

impl Clone for Position {
    fn clone(&self) -> Self {
        Self {
            token: self.token,
            partition_key: self.partition_key.clone(),
        }
    }

    /// Keeps the memory: a walk does this for every partition.
    fn clone_from(&mut self, other: &Self) {
        self.token = other.token;
        self.partition_key.clone_from(&other.partition_key);
    }
}

impl Position {
    /// Takes the position of a row whose first cells are the partition key.
    ///
    /// # Errors
    /// A component that Cassandra could not have stored.
    pub fn set<'a>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), StoreError> {
        self.partition_key.clear();
        key::append_partition_key(
            cells.map(Option::unwrap_or_default),
            &mut self.partition_key,
        )
        .map_err(|error| StoreError::corrupt(error.to_string(), "a partition key"))?;
        self.token = token_of(&self.partition_key);
        Ok(())
    }
}

/// The identity of a row within its partition: a hash of its canonical clustering key.
pub fn row_identity<'a>(
    clustering: &'a [Column],
    cells: impl Iterator<Item = Option<&'a [u8]>>,
    scratch: &mut Vec<u8>,
) -> u128 {
    scratch.clear();
    key::append_clustering_key(clustering.iter(), cells, scratch);
    xxh3_128(scratch)
}

/// A prediction whose source row is gone.
pub struct Orphans {
    /// Key cells.
    pub keys: CellBuffer,
    /// Versions, aligned with the rows of `keys`.
    pub versions: Vec<i32>,
}

/// What stands for one row.
pub struct Standing<'s> {
    stored: &'s StoredPredictions<'s>,
    identity: u128,
}

impl Standing<'_> {
    /// A version's prediction.
    pub fn get(&self, version: i32) -> Option<Stored> {
        self.stored.get(self.identity, version)
    }

    /// The same to be written elsewhere: its lineage, its TTL where the job has one, and its output
    /// cells; `None` as well where they were not asked for ([`Carry::Whole`]).
    pub fn whole(&self, version: i32) -> Option<impl Iterator<Item = Option<&[u8]>>> {
        let stored = self.stored;
        let at = stored.find(self.identity, version)?;
        let is_carried = stored.carry == Carry::Whole(version) && at < stored.carried.rows();
        is_carried.then(|| stored.carried.row(at))
    }
}

struct Entry {
    identity: u128,
    version: i32,
    stored: Stored,
    /// Row in `partition_keys`, for orphans that are to be deleted.
    row: usize,
}

/// The cursor over the prediction table.
pub struct StoredPredictions<'j> {
    job: &'j CompiledJob,
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    page: Page,
    /// No page comes any more: not to be asked again for each row that follows.
    ended: bool,
    at: usize,
    head: Option<Position>,
    spare: Position,
    entries: Vec<Entry>,
    matched: Vec<bool>,
    index: HashMap<(u128, i32), usize>,
    partition_keys: CellBuffer,
    scratch: Vec<u8>,
    /// Seconds; a prediction that lives no longer than this is expiring. `None`: without TTL.
    expiring_below: Option<i32>,
    carry: Carry,
    /// Of the current partition's entries, what `carry` brings.
    carried: CellBuffer,
    /// All predictions so far whose source row is gone, by version.
    pub orphaned: BTreeMap<i32, u64>,
    /// Keys of the first of them, as many as are to be kept.
    pub orphans: Option<Orphans>,
    orphans_kept: usize,
    /// For pages, so far.
    pub waited: Duration,
}

/// Up to here a partition is searched without an index.
const FEW: usize = 16;

impl<'j> StoredPredictions<'j> {
    /// A cursor over pages of: key columns, model_version, lineage.input_hash, lineage.rejected,
    /// TTL(lineage) where the job has one, lineage.scored_at where it has a history; then what `carry` brings. The keys of `orphans_kept` orphans are kept.
    pub fn new(
        job: &'j CompiledJob,
        pages: mpsc::Receiver<Result<Page, StoreError>>,
        carry: Carry,
        orphans_kept: usize,
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
                    Carry::Whole(_) => 2,
                } + job.target.outputs.len(),
            ),
            orphaned: BTreeMap::new(),
            orphans: (orphans_kept > 0).then(|| Orphans {
                keys: CellBuffer::new(job.key.len()),
                versions: Vec::new(),
            }),
            orphans_kept,
            waited: Duration::ZERO,
        }
    }

    /// Moves to a partition of the source; must be called in ascending order.
    pub async fn seek(&mut self, position: &Position) -> Result<(), StoreError> {
        self.close_partition();
        loop {
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
        Ok(())
    }

    /// Walks to the end of the range: what is left has no source row.
    pub async fn finish(&mut self) -> Result<(), StoreError> {
        self.close_partition();
        while self.head.is_some() || self.advance().await? {
            self.take_entry()?;
            self.close_partition();
        }
        Ok(())
    }

    /// What stands for a row of the current partition. Call [`StoredPredictions::mark`] for each
    /// source row first, so that its predictions do not count as orphaned.
    pub fn get(&self, identity: u128, version: i32) -> Option<Stored> {
        self.find(identity, version)
            .map(|at| self.entries[at].stored)
    }

    /// The same prediction whole; `None` as well where its cells were not asked for.
    pub fn proof(&self, identity: u128, version: i32) -> Option<Prediction<'_>> {
        let at = self.find(identity, version)?;
        let is_carried = self.carry == Carry::Proof && at < self.carried.rows();
        is_carried.then(|| Prediction::new(&self.carried, at))
    }

    /// What stands for a row of the current partition.
    pub fn of(&self, identity: u128) -> Standing<'_> {
        Standing {
            stored: self,
            identity,
        }
    }

    /// Notes that the source has this row.
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

    /// Moves `head` to the next row; `false` at the end.
    async fn advance(&mut self) -> Result<bool, StoreError> {
        while self.at >= self.page.rows() {
            if self.ended {
                return Ok(false);
            }
            let asked = Instant::now();
            let page = self.pages.recv().await;
            self.waited += asked.elapsed();
            match page {
                None => self.ended = true,
                Some(page) => (self.page, self.at) = (page?, 0),
            }
        }
        let mut head = std::mem::take(&mut self.spare);
        head.set(self.page.row(self.at).take(self.job.partition_key_len))?;
        self.head = Some(head);
        Ok(true)
    }

    /// Takes the row at `head` into the current partition and steps behind it.
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
        // A row without a lineage (written by hand) matches no hash: it is scored and replaced.
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
            Carry::Whole(_) => {
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
        // The head of the same page follows without waiting.
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
            if let Some(orphans) = &mut self.orphans
                && orphans.versions.len() < self.orphans_kept
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
