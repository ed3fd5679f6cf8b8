//! The statements, and one range of work.

use std::{ops::Range, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use scylla::{
    client::session::Session,
    response::query_result::QueryRowsResult,
    response::{PagingState, PagingStateResponse},
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};
use tokio::sync::Semaphore;

use super::{
    Done, Failure, Flags,
    rows::{Cells, Predictions, Shape},
};

/// All that ranges share.
pub struct Load {
    session: Session,
    source: PreparedStatement,
    stored: PreparedStatement,
    shape: Shape,
    /// A full batch; made once.
    full: Batch,
    insert: PreparedStatement,
    batch: usize,
    in_flight: Semaphore,
    each_in_flight: usize,
}

impl Load {
    pub async fn prepare(session: Session, flags: &Flags) -> Result<Self, Failure> {
        let shape = Shape::of(
            &session,
            &flags.source,
            &flags.target,
            flags.versions,
            flags.differ,
        )?;
        let range = |table: &str, columns: String| {
            let key = shape.partition_key();
            format!("SELECT {columns} FROM {table} WHERE token({key}) > ? AND token({key}) <= ?")
        };
        let mut source = session
            .prepare(range(&flags.source, shape.source_columns()))
            .await?;
        source.set_page_size(flags.page_rows);
        source.set_is_idempotent(true);
        let stored = format!(
            "{}, model_version, lineage.input_hash, lineage.rejected",
            shape.key()
        );
        let mut stored = session.prepare(range(&flags.target, stored)).await?;
        stored.set_page_size(5_000);
        stored.set_is_idempotent(true);
        let mut insert = session.prepare(shape.insert(&flags.target)).await?;
        insert.set_is_idempotent(true);
        let full = batch_of(&insert, flags.batch);
        Ok(Self {
            session,
            source,
            stored,
            shape,
            full,
            insert,
            batch: flags.batch,
            in_flight: Semaphore::new(flags.in_flight),
            each_in_flight: flags.in_flight.div_ceil(flags.readers) * 2,
        })
    }

    /// Reads one of `of` ranges.
    pub async fn read(self: Arc<Self>, at: u64, of: u64) -> Result<Done, Failure> {
        let mut done = Done::default();
        let mut pages = Pages::start(Arc::clone(&self), What::Source, at, of);
        while let Some(page) = pages.next().await? {
            done.source_rows += decode(&page)?;
        }
        Ok(done)
    }

    /// Reads one of `of` ranges of both tables at the same time.
    pub async fn read_both(self: Arc<Self>, at: u64, of: u64) -> Result<Done, Failure> {
        let (source, stored) = futures::try_join!(
            Arc::clone(&self).read(at, of),
            Arc::clone(&self).read_stored(at, of)
        )?;
        Ok(Done {
            stored_rows: stored,
            ..source
        })
    }

    /// Reads one of `of` ranges of the source, then of the predictions.
    pub async fn read_in_turn(self: Arc<Self>, at: u64, of: u64) -> Result<Done, Failure> {
        let source = Arc::clone(&self).read(at, of).await?;
        let stored_rows = self.read_stored(at, of).await?;
        Ok(Done {
            stored_rows,
            ..source
        })
    }

    async fn read_stored(self: Arc<Self>, at: u64, of: u64) -> Result<u64, Failure> {
        let mut rows = 0;
        let mut pages = Pages::start(self, What::Stored, at, of);
        while let Some(page) = pages.next().await? {
            rows += decode(&page)?;
        }
        Ok(rows)
    }

    /// Reads one of `of` ranges and writes predictions of its rows.
    pub async fn read_and_write(self: Arc<Self>, at: u64, of: u64) -> Result<Done, Failure> {
        let mut done = Done::default();
        let mut pages = Pages::start(Arc::clone(&self), What::Source, at, of);
        let mut gathered = Predictions::default();
        let mut sent = FuturesUnordered::new();
        while let Some(page) = pages.next().await? {
            for row in page.rows::<Cells<'_, '_>>()? {
                done.source_rows += 1;
                done.written += gathered.add(&self.shape, row?)?;
                if gathered.len() >= self.batch {
                    sent.push(self.send(std::mem::take(&mut gathered)));
                    while sent.len() >= self.each_in_flight {
                        sent.next().await.transpose()?;
                    }
                }
            }
        }
        sent.push(self.send(gathered));
        while sent.next().await.transpose()?.is_some() {}
        Ok(done)
    }

    /// Writes predictions of the keys.
    pub async fn write(self: Arc<Self>, keys: Range<u64>) -> Result<Done, Failure> {
        let mut done = Done::default();
        let mut gathered = Predictions::default();
        let mut sent = FuturesUnordered::new();
        for key in keys {
            done.written += gathered.add_key(&self.shape, key as i32);
            if gathered.len() >= self.batch {
                sent.push(self.send(std::mem::take(&mut gathered)));
                while sent.len() >= self.each_in_flight {
                    sent.next().await.transpose()?;
                }
            }
        }
        sent.push(self.send(gathered));
        while sent.next().await.transpose()?.is_some() {}
        Ok(done)
    }

    async fn send(&self, predictions: Predictions) -> Result<(), Failure> {
        if predictions.len() == 0 {
            return Ok(());
        }
        let rows = predictions.bound();
        let _permit = self.in_flight.acquire().await?;
        if rows.len() == self.batch {
            self.session.batch(&self.full, &rows).await?;
        } else {
            let batch = batch_of(&self.insert, rows.len());
            self.session.batch(&batch, &rows).await?;
        }
        Ok(())
    }
}

fn batch_of(insert: &PreparedStatement, rows: usize) -> Batch {
    let mut batch = Batch::new(BatchType::Unlogged);
    (0..rows).for_each(|_| batch.append_statement(insert.clone()));
    batch.set_is_idempotent(true);
    batch.set_timestamp(Some(1_700_000_000_000_000));
    batch
}

/// Touches every cell, as whoever uses them must.
fn decode(page: &QueryRowsResult) -> Result<u64, Failure> {
    let mut rows = 0;
    for row in page.rows::<Cells<'_, '_>>()? {
        for cell in row? {
            std::hint::black_box(cell?.slice);
        }
        rows += 1;
    }
    Ok(rows)
}

#[derive(Clone, Copy)]
enum What {
    Source,
    Stored,
}

/// Pages of a range, each asked for while the one before is used.
struct Pages {
    load: Arc<Load>,
    what: What,
    range: (i64, i64),
    asked: Option<tokio::task::JoinHandle<Result<(QueryRowsResult, PagingStateResponse), Failure>>>,
}

impl Pages {
    fn start(load: Arc<Load>, what: What, at: u64, of: u64) -> Self {
        let bound = |at: u64| {
            let place = (u128::from(at) << 64) / u128::from(of);
            (i128::from(i64::MIN) + place as i128).min(i64::MAX.into()) as i64
        };
        let mut pages = Self {
            load,
            what,
            range: (bound(at), bound(at + 1)),
            asked: None,
        };
        pages.ask(PagingState::start());
        pages
    }

    fn ask(&mut self, state: PagingState) {
        let (load, what, range) = (Arc::clone(&self.load), self.what, self.range);
        self.asked = Some(tokio::spawn(async move {
            let statement = match what {
                What::Source => &load.source,
                What::Stored => &load.stored,
            };
            let (page, next) = load
                .session
                .execute_single_page(statement, range, state)
                .await?;
            Ok((page.into_rows_result()?, next))
        }));
    }

    async fn next(&mut self) -> Result<Option<QueryRowsResult>, Failure> {
        let Some(asked) = self.asked.take() else {
            return Ok(None);
        };
        let (page, next) = asked.await??;
        if let std::ops::ControlFlow::Continue(state) = next.into_paging_control_flow() {
            self.ask(state);
        }
        Ok(Some(page))
    }
}
