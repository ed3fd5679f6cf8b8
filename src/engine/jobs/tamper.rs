//! Handles revisions whose manifest was altered after it was answered.
//!
//! A revision is immutable, since runs and predictions refer to it as their proof. So an altered
//! revision is not checked again but refused, until its text is restored.

use crate::{
    domain::problem::Problem,
    store::{
        Store,
        driver::error::StoreError,
        jobs::{JobRow, JobState, JobStatus},
    },
};

use super::answer::line;

/// Problem code of an altered revision.
pub(super) const ALTERED: &str = "job.tampered";

/// Returns whether the row differs from the one that was answered.
pub(super) fn is_altered(row: &JobRow, status: &JobStatus) -> bool {
    row.manifest_sha256() != status.manifest_sha256
}

/// Returns the problem that is reported for an altered revision.
pub(super) fn altered(job: &str, revision: i32) -> Problem {
    Problem::new(
        ALTERED,
        format!("the manifest of revision {revision} of job `{job}` was altered after it was answered"),
    )
    .help("write back what it was, or add a revision: `helenus job create`, or a row with the next number")
}

/// Marks the answer as tampered. Returns `None` if another process answered at the same time.
pub(super) async fn mark(
    store: &Store,
    status: &JobStatus,
) -> Result<Option<JobStatus>, StoreError> {
    let marked = JobStatus {
        state: JobState::Tampered,
        problems: vec![line(&altered(&status.job, status.revision))],
        ..status.clone()
    };
    let won = store.answer_job(&marked, Some(status.state)).await?;
    Ok(won.then_some(marked))
}

/// Marks the answer of the job's newest ready revision, which was found to be altered.
pub(super) async fn mark_ready(store: &Store, job: &str) -> Result<(), StoreError> {
    let mut statuses = store.job_statuses(job).await?.into_iter();
    if let Some(ready) = statuses.find(|status| status.state == JobState::Ready) {
        mark(store, &ready).await?;
    }
    Ok(())
}
