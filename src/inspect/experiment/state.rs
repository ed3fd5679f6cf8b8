//! Where the experiments of a job stand, for `list`, `show` and `status`.

use std::collections::BTreeSet;

use crate::{
    domain::experiment::{ExperimentRow, ExperimentState, ExperimentVerdict},
    store::{
        Store,
        driver::error::StoreError,
        evidence::{experiment_results::StoredLook, experiments::ExperimentStatus},
    },
};

/// An experiment: its newest revision, the answer to it, and what was seen.
#[derive(Debug, Clone)]
pub struct ExperimentView {
    pub row: ExperimentRow,
    /// `None`: no worker has answered it.
    pub status: Option<ExperimentStatus>,
    /// Looks at this revision, the newest first.
    pub looks: Vec<StoredLook>,
}

impl ExperimentView {
    /// Returns `experiment_status.state`, or `unanswered`.
    pub fn state(&self) -> &'static str {
        let status = self.status.as_ref();
        status.map_or("unanswered", |status| status.state.as_str())
    }

    /// Returns whether it will never run again.
    pub fn is_over(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.state.is_over())
    }

    /// Adds what needs attention.
    pub fn warn(&self, warnings: &mut Vec<String>) {
        let (job, name) = (&self.row.job, &self.row.name);
        let status = self.status.as_ref();
        if let Some(status) = status.filter(|status| status.state == ExperimentState::Refused) {
            let reason = status.reason.as_deref().unwrap_or_default();
            warnings.push(format!(
                "experiment `{name}` of job `{job}` is refused: {reason}"
            ));
        }
        if let Some(look) = self.looks.first()
            && look.verdict == ExperimentVerdict::SampleRatioMismatch
        {
            warnings.push(format!(
                "experiment `{name}` of job `{job}`: {}",
                look.reason
            ));
        }
    }

    /// Returns the newest verdict, if there was a look.
    pub fn verdict(&self) -> Option<&'static str> {
        self.looks.first().map(|look| look.verdict.as_str())
    }
}

/// Returns the experiments of a job, or of all jobs, by job and name, with at most `looks` looks each.
///
/// # Errors
/// Errors of Cassandra.
pub async fn states(
    store: &Store,
    job: Option<&str>,
    looks: i32,
) -> Result<Vec<ExperimentView>, StoreError> {
    let mut rows = match job {
        Some(job) => store.experiments_of(job).await?,
        None => store.experiments().await?,
    };
    rows.sort_by(|a, b| {
        let newest_first = b.revision.cmp(&a.revision);
        (&a.job, &a.name).cmp(&(&b.job, &b.name)).then(newest_first)
    });
    rows.dedup_by(|later, first| (&later.job, &later.name) == (&first.job, &first.name));
    let jobs: BTreeSet<String> = rows.iter().map(|row| row.job.clone()).collect();
    let mut statuses = Vec::new();
    for job in jobs {
        statuses.extend(store.experiment_statuses(&job).await?);
    }
    let mut states = Vec::new();
    for row in rows {
        let mut answers = statuses.iter();
        let status = answers.find(|status| {
            (&status.job, &status.name, status.revision) == (&row.job, &row.name, row.revision)
        });
        let mut seen = store.looks(&row.job, &row.name, looks).await?;
        seen.retain(|look| look.revision == row.revision);
        states.push(ExperimentView {
            status: status.cloned(),
            looks: seen,
            row,
        });
    }
    Ok(states)
}
