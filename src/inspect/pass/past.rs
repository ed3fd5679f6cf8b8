//! Walks the history of predictions in step with the source; holds the rows of one partition at a
//! time.

use std::collections::HashMap;

use tokio::sync::mpsc;

use crate::{
    codec::{cells::CellBuffer, ring::TokenRange, schema::Column},
    domain::{
        job::{CompiledJob, manifest::TableName},
        model::proof::{self, Prediction},
    },
    engine::run::position::{Position, row_identity},
    store::{
        Store,
        driver::{error::StoreError, raw::Page},
        predictions::history::history_range,
    },
};

/// A cursor over the history table.
pub struct Past {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    page: Page,
    at: usize,
    head: Option<Position>,
    partition_key_len: usize,
    clustering: Vec<Column>,
    /// Predictions of the current partition: (identity, version) -> rows of `proofs`, the newest
    /// first.
    rows: HashMap<(u128, i32), Vec<usize>>,
    /// The fields of [`proof::FIELDS`], then the output columns.
    proofs: CellBuffer,
    scratch: Vec<u8>,
}

impl Past {
    /// Starts to read `range` of the history of `job`'s versions.
    pub fn new(store: &Store, job: &CompiledJob, history: &TableName, range: TokenRange) -> Self {
        Self {
            pages: store.scan(history_range(job, history), range),
            page: Page::default(),
            at: 0,
            head: None,
            partition_key_len: job.partition_key_len,
            clustering: job.key[job.partition_key_len..].to_vec(),
            rows: HashMap::new(),
            proofs: CellBuffer::new(proof::FIELDS.len() + job.target.outputs.len()),
            scratch: Vec::new(),
        }
    }

    /// Moves to a partition of the source; must be called in ascending order.
    pub async fn seek(&mut self, position: &Position) -> Result<(), StoreError> {
        self.rows.clear();
        self.proofs.clear();
        while self.head.is_some() || self.advance().await? {
            match self.head.as_ref().map(|head| head.cmp(position)) {
                // Its source row is gone, so it is never looked up.
                Some(std::cmp::Ordering::Less) => self.step(),
                Some(std::cmp::Ordering::Equal) => self.take()?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Returns the last prediction of a row of the current partition that was made before `limit`,
    /// in milliseconds since 1970.
    pub fn before(&self, identity: u128, version: i32, limit: i64) -> Option<Prediction<'_>> {
        let rows = self.rows.get(&(identity, version))?.iter();
        rows.map(|row| Prediction::new(&self.proofs, *row))
            .find(|prediction| prediction.scored_at().is_some_and(|made| made < limit))
    }

    /// Moves `head` to the next row; returns `false` at the end.
    async fn advance(&mut self) -> Result<bool, StoreError> {
        while self.at >= self.page.rows() {
            // Drop the finished page now: it must not keep the next page waiting.
            self.page = Page::default();
            match self.pages.recv().await {
                None => return Ok(false),
                Some(page) => self.page = page?,
            }
            self.at = 0;
        }
        let mut head = Position::default();
        head.set(self.page.row(self.at).take(self.partition_key_len))?;
        self.head = Some(head);
        Ok(true)
    }

    fn step(&mut self) {
        self.at += 1;
        self.head = None;
    }

    fn take(&mut self) -> Result<(), StoreError> {
        let key_len = self.partition_key_len + self.clustering.len();
        let cells = self.page.row(self.at).take(key_len);
        let clustering = cells.skip(self.partition_key_len);
        let identity = row_identity(&self.clustering, clustering, &mut self.scratch);
        let version = self.page.cell(self.at, key_len);
        let version = version
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
            .ok_or_else(|| StoreError::corrupt("a row without model_version", "the history"))?;
        let rows = self.rows.entry((identity, version)).or_default();
        rows.push(self.proofs.rows());
        // Skip the key, which ends with the version and the time.
        let proof = self.page.row(self.at).skip(key_len + 2);
        proof.for_each(|cell| self.proofs.push(cell));
        self.step();
        Ok(())
    }
}
