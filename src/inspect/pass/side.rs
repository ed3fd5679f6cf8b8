//! Walks a side table in step with the source; holds the rows of one partition at a time.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::scope::Labels;
use crate::{
    codec::{cells::CellBuffer, ring::TokenRange, schema::Column},
    engine::run::position::{Position, row_identity},
    store::{
        Store,
        driver::{error::StoreError, raw::Page},
        predictions::side_select::side_range,
    },
};

/// A cursor over the side table.
pub struct Side {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
    page: Page,
    at: usize,
    head: Option<Position>,
    partition_key_len: usize,
    clustering: Vec<Column>,
    /// Rows of the current partition: identity -> row of `values`.
    rows: HashMap<u128, usize>,
    taken: Vec<bool>,
    values: CellBuffer,
    scratch: Vec<u8>,
    /// Number of rows so far that have no source row.
    pub strays: u64,
}

impl Side {
    /// Starts to read `range` of the table of labels.
    pub fn labels(store: &Store, labels: &Labels, range: TokenRange) -> Self {
        let mut wanted = vec![labels.column.clone()];
        wanted.extend(labels.time.clone());
        let select = side_range(&labels.table, &wanted);
        let clustering = labels.table.clustering.iter();
        Self {
            pages: store.scan(select, range),
            page: Page::default(),
            at: 0,
            head: None,
            partition_key_len: labels.table.partition_key.len(),
            clustering: clustering.map(|(column, _)| column.clone()).collect(),
            rows: HashMap::new(),
            taken: Vec::new(),
            values: CellBuffer::new(wanted.len()),
            scratch: Vec::new(),
            strays: 0,
        }
    }

    /// Moves to a partition of the source; must be called in ascending order.
    pub async fn seek(&mut self, position: &Position) -> Result<(), StoreError> {
        self.leave_partition();
        while self.head.is_some() || self.advance().await? {
            match self.head.as_ref().map(|head| head.cmp(position)) {
                Some(std::cmp::Ordering::Less) => {
                    self.strays += 1;
                    self.step();
                }
                Some(std::cmp::Ordering::Equal) => self.take(),
                _ => break,
            }
        }
        Ok(())
    }

    /// Walks to the end of the range: the remaining rows have no source row.
    pub async fn finish(&mut self) -> Result<(), StoreError> {
        self.leave_partition();
        while self.head.is_some() || self.advance().await? {
            self.strays += 1;
            self.step();
        }
        Ok(())
    }

    /// Returns the requested cells of a row of the current partition.
    pub fn get(&mut self, identity: u128) -> Option<impl Iterator<Item = Option<&[u8]>>> {
        let at = *self.rows.get(&identity)?;
        self.taken[at] = true;
        Some(self.values.row(at))
    }

    /// Moves `head` to the next row; returns `false` at the end.
    async fn advance(&mut self) -> Result<bool, StoreError> {
        loop {
            while self.at >= self.page.rows() {
                // Drop the finished page now: it must not keep the next page waiting.
                self.page = Page::default();
                match self.pages.recv().await {
                    None => return Ok(false),
                    Some(page) => self.page = page?,
                }
                self.at = 0;
            }
            let key_len = self.partition_key_len + self.clustering.len();
            // A partition that has only static columns is not a row.
            if self
                .page
                .row(self.at)
                .take(key_len)
                .any(|cell| cell.is_none())
            {
                self.at += 1;
                continue;
            }
            let mut head = Position::default();
            head.set(self.page.row(self.at).take(self.partition_key_len))?;
            self.head = Some(head);
            return Ok(true);
        }
    }

    fn step(&mut self) {
        self.at += 1;
        self.head = None;
    }

    fn take(&mut self) {
        let key_len = self.partition_key_len + self.clustering.len();
        let cells = self.page.row(self.at).take(key_len);
        let clustering = cells.skip(self.partition_key_len);
        let identity = row_identity(&self.clustering, clustering, &mut self.scratch);
        self.rows.insert(identity, self.taken.len());
        self.taken.push(false);
        let values = self.page.row(self.at).skip(key_len);
        values.for_each(|cell| self.values.push(cell));
        self.step();
    }

    fn leave_partition(&mut self) {
        self.strays += self.taken.iter().filter(|taken| !**taken).count() as u64;
        self.rows.clear();
        self.taken.clear();
        self.values.clear();
    }
}
