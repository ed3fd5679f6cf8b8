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
#[derive(Debug, Default)]
pub struct HintWriter {
    is_wanted: bool,
    looked: Option<Instant>,
    budget: HintBudget,
}

/// How many hints may still be written in this second.
#[derive(Debug)]
struct HintBudget {
    second: Instant,
    written: usize,
}

impl Default for HintBudget {
    fn default() -> Self {
        Self {
            second: Instant::now(),
            written: 0,
        }
    }
}

impl HintBudget {
    /// Takes at most `wanted` hints of the second that `now` is in, and returns how many.
    fn take(&mut self, now: Instant, wanted: usize) -> usize {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.written = 0;
        }
        let taken = wanted.min(PER_SECOND.saturating_sub(self.written));
        self.written += taken;
        taken
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
        let keys: BTreeSet<Key> = (0..rows.cells.rows())
            .map(|row| key(layout, rows, row))
            .collect();
        let taken = self.budget.take(Instant::now(), keys.len());
        let keys: Vec<Key> = keys.into_iter().take(taken).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thousand_hints_are_written_in_a_second() {
        let mut budget = HintBudget::default();
        let start = budget.second;
        let after = |ms| start + Duration::from_millis(ms);
        let taken = [
            budget.take(after(0), 1_500),
            budget.take(after(400), 400),
            budget.take(after(999), 300),
            budget.take(after(999), 1),
            budget.take(after(1_000), 2_500),
            budget.take(after(1_900), 7),
            budget.take(after(2_100), 7),
        ];
        assert_eq!(taken, [1_500, 400, 100, 0, 2_000, 0, 7]);
    }
}
