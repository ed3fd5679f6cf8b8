//! Which source rows have a prediction at all.

use super::tally::{Tally, key_of};
use crate::{
    domain::job::CompiledJob,
    worker::run::{
        split::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit},
    },
};

/// Counts source rows without a prediction.
pub struct Cover<'a> {
    job: &'a CompiledJob,
    /// What was found.
    pub tally: Tally,
}

impl<'a> Cover<'a> {
    /// Nothing was seen yet.
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
                self.tally.miss(version, || key_of(job, key));
            }
        }
        Next::Row
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        Ok(())
    }
}
