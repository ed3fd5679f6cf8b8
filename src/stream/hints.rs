//! Tells triggers which rows changed: `changed_keys`, where applications write hints, too.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{StreamExt, stream};

use super::decode::{DecodedRows, RowLayout};
use crate::{
    codec::literal,
    domain::trigger::Key,
    store::{Store, driver::error::StoreError},
};

/// Most hints in a second. At a higher rate of changes the next run over all pending rows finds the
/// others.
const PER_SECOND: usize = 2_000;
/// Interval at which the job's triggers are read.
const LOOK: Duration = Duration::from_secs(10);
const AT_A_TIME: usize = 16;

/// Writes the hints of one job.
#[derive(Debug)]
pub struct HintWriter {
    is_wanted: bool,
    looked: Option<Instant>,
    second: Instant,
    written: usize,
}

impl Default for HintWriter {
    fn default() -> Self {
        Self {
            is_wanted: false,
            looked: None,
            second: Instant::now(),
            written: 0,
        }
    }
}

impl HintWriter {
    /// Reports the rows as changed if a trigger of the job wants to know.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn write(
        &mut self,
        store: &Store,
        job: &str,
        layout: &RowLayout,
        rows: &DecodedRows,
    ) -> Result<(), StoreError> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            let triggers = store.triggers().await?;
            let mut own = triggers.iter().filter(|trigger| trigger.job == job);
            self.is_wanted =
                own.any(|trigger| trigger.use_hints == Some(true) && trigger.removed != Some(true));
            self.looked = Some(Instant::now());
        }
        if !self.is_wanted {
            return Ok(());
        }
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = Instant::now();
            self.written = 0;
        }
        let room = PER_SECOND.saturating_sub(self.written);
        let keys: BTreeSet<Key> = (0..rows.cells.rows())
            .map(|row| key(layout, rows, row))
            .collect();
        let keys: Vec<Key> = keys.into_iter().take(room).collect();
        self.written += keys.len();
        let now = Utc::now();
        let mut writes = stream::iter(keys)
            .map(|key| async move { store.write_changed_key(job, now, &key).await })
            .buffer_unordered(AT_A_TIME);
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(())
    }
}

fn key(layout: &RowLayout, rows: &DecodedRows, row: usize) -> Key {
    let cells = layout.key.iter().map(|at| {
        let column = &layout.columns[*at];
        let cell = rows.cells.cell(row, *at).unwrap_or_default();
        (
            column.name.clone(),
            literal::to_text(&column.cql_type, cell),
        )
    });
    cells.collect()
}
