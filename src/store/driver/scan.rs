//! Reads a table by token range, page after page, one page ahead.

use std::ops::ControlFlow;

use scylla::{
    response::PagingState,
    routing::partitioner::{Murmur3Partitioner, Partitioner, PartitionerHasher},
    statement::prepared::PreparedStatement,
};
use tokio::sync::mpsc;

use super::{
    budget::Reader,
    error::{Failed, StoreError, StoreErrorKind},
    pages::{PageRows, Steering, alone},
    raw::{Page, RawValues, push_cell},
    statement::{Mode, PATIENCE, into_rows, retried},
};
use crate::{
    codec::{key, ring::TokenRange},
    store::Store,
};

/// A SELECT over a token range. Its first two markers are `token(...) > ? AND token(...) <= ?`, its
/// first columns the table's whole primary key, partition key first.
#[derive(Clone)]
pub struct RangeSelect {
    pub cql: String,
    /// Values of the markers after the two tokens, in [`RawValues`]' form.
    pub more_values: Vec<u8>,
    pub partition_key_len: usize,
    pub key_len: usize,
    pub pages: PageRows,
}

/// Returns the token of a serialised partition key.
pub fn token_of(partition_key: &[u8]) -> i64 {
    let mut hasher = Murmur3Partitioner.build_hasher();
    hasher.write(partition_key);
    hasher.finish().value()
}

impl Store {
    /// Starts to read `range`. Pages arrive in token order; after the last one, the channel ends.
    /// An error ends it, too. Dropping the receiver ends the reading.
    ///
    /// A read that meets more tombstones than Cassandra allows is halved until it does not, down to
    /// a single token: neither smaller pages nor a retry would help.
    pub fn scan(
        &self,
        select: RangeSelect,
        range: TokenRange,
    ) -> mpsc::Receiver<Result<Page, StoreError>> {
        let (sender, receiver) = mpsc::channel(1);
        let size = self.row_sizes.get(&select.cql);
        let scan = Scan {
            store: self.clone(),
            reader: self.rows.reader(),
            steering: Steering::new(select.pages, size),
            select,
            last: None,
        };
        tokio::spawn(async move {
            if let Err(error) = scan.run(range, &sender).await {
                // If the receiver is gone, nothing waits for the error either.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }
}

struct Scan {
    store: Store,
    reader: Reader,
    steering: Steering,
    select: RangeSelect,
    /// The last row passed on: where a halved read continues.
    last: Option<Position>,
}

struct Position {
    token: i64,
    key: Vec<u8>,
}

impl Scan {
    async fn run(
        mut self,
        range: TokenRange,
        pages: &mpsc::Sender<Result<Page, StoreError>>,
    ) -> Result<(), StoreError> {
        let prepared = self.store.prepared(Mode::Read, &self.select.cql).await?;
        let mut prepared = PreparedStatement::clone(&prepared);
        let mut todo = vec![range];
        while let Some(range) = todo.pop() {
            let mut state = PagingState::start();
            // If this is the rest of a halved range, rows up to `last` were already passed on.
            let mut resuming = self
                .last
                .as_ref()
                .is_some_and(|last| range.contains(last.token));
            loop {
                let (mut page, next) = match self.page(&mut prepared, range, state).await {
                    Err(error) if error.kind == StoreErrorKind::Tombstones => {
                        let after = self.last.as_ref().map_or(range.after, |last| {
                            range.after.max(last.token.saturating_sub(1))
                        });
                        let (low, high) = TokenRange::new(after, range.up_to)
                            .and_then(TokenRange::halves)
                            .ok_or(error)?;
                        todo.extend([high, low]);
                        break;
                    }
                    answer => answer?,
                };
                if resuming {
                    resuming = !self.skip_seen(&mut page)?;
                }
                if page.rows() > 0 {
                    self.remember_last(&page)?;
                    if pages.send(Ok(page)).await.is_err() {
                        return Ok(());
                    }
                }
                match next {
                    ControlFlow::Break(()) => break,
                    ControlFlow::Continue(next) => state = next,
                }
            }
        }
        Ok(())
    }

    async fn page(
        &mut self,
        prepared: &mut PreparedStatement,
        range: TokenRange,
        state: PagingState,
    ) -> Result<(Page, ControlFlow<(), PagingState>), StoreError> {
        let size = self.steering.size();
        let _alone = alone(self.select.pages, &size).await;
        let (rows, bytes) = self.steering.next();
        let share = self.reader.take(bytes).await;
        prepared.set_page_size(rows);
        let (prepared, cql) = (&*prepared, &self.select.cql);
        let mut values = Vec::with_capacity(24 + self.select.more_values.len());
        push_cell(&mut values, Some(&range.after.to_be_bytes()));
        push_cell(&mut values, Some(&range.up_to.to_be_bytes()));
        values.extend_from_slice(&self.select.more_values);
        let (mut page, next) = retried(PATIENCE, || async {
            let request = async {
                let session = self.store.session();
                session
                    .execute_single_page(prepared, RawValues(&values), state.clone())
                    .await
                    .map_err(|error| Failed::execution(&error, cql))
            };
            let (result, next) = self.store.reads().enter().await.send(request).await?;
            let page = Page::new(&into_rows(result, cql)?, cql)?;
            Ok((page, next.into_paging_control_flow()))
        })
        .await?;
        self.steering.saw(&page);
        page.hold(share);
        Ok((page, next))
    }

    fn token(&self, page: &Page, row: usize) -> Result<i64, StoreError> {
        let cells = page.row(row).take(self.select.partition_key_len);
        let mut bytes = Vec::new();
        key::append_partition_key(cells.map(Option::unwrap_or_default), &mut bytes)
            .map_err(|error| StoreError::corrupt(error.to_string(), &self.select.cql))?;
        Ok(token_of(&bytes))
    }

    fn whole_key(&self, page: &Page, row: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for cell in page.row(row).take(self.select.key_len) {
            push_cell(&mut bytes, cell);
        }
        bytes
    }

    fn remember_last(&mut self, page: &Page) -> Result<(), StoreError> {
        let row = page.rows() - 1;
        self.last = Some(Position {
            token: self.token(page, row)?,
            key: self.whole_key(page, row),
        });
        Ok(())
    }

    /// Leaves out rows up to the last one passed on; returns `true` once that one was seen.
    fn skip_seen(&self, page: &mut Page) -> Result<bool, StoreError> {
        let Some(last) = &self.last else {
            return Ok(true);
        };
        for row in 0..page.rows() {
            if self.whole_key(page, row) == last.key {
                page.skip(row + 1);
                return Ok(true);
            }
            if self.token(page, row)? != last.token {
                return Err(StoreError::unknown(
                    "the row that the scan had reached was deleted while a range full of tombstones was read; reading again",
                    &self.select.cql,
                ));
            }
        }
        page.skip(page.rows());
        Ok(false)
    }
}
