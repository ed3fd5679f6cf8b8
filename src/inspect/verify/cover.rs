//! Finds source rows that have no prediction.

use super::tally::Tally;
use crate::{
    domain::job::CompiledJob,
    engine::run::{
        split_error::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit},
    },
    store::runs::rejected_rows::key_text_of_cells,
};

/// Counts source rows without a prediction.
pub struct Cover<'a> {
    job: &'a CompiledJob,
    /// The counts so far.
    pub tally: Tally,
}

impl<'a> Cover<'a> {
    /// Returns a visitor that has seen no row.
    pub fn new(job: &'a CompiledJob) -> Self {
        Self {
            job,
            tally: Tally::default(),
        }
    }
}

impl Visit for Cover<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let job = self.job;
        for version in &job.versions {
            let version = version.ready.version;
            if stored.get(row.identity, version).is_none() {
                let key = row.cells[..job.key.len()].iter().copied();
                self.tally.miss(version, || key_text_of_cells(job, key));
            }
        }
        Next::Row
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        Ok(())
    }
}
