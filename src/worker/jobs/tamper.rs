//! Revisions whose manifest was altered after it was answered.
//!
//! A revision is a fact: runs and predictions name it as their proof. So an altered one is not
//! checked anew but refused, until its text is what it was.

use crate::{
    domain::problem::Problem,
    store::{
        Store,
        error::StoreError,
        jobs::{JobRow, JobState, JobStatus},
    },
};

use super::answer::line;

/// Whether the row is another one than was answered.
pub(super) fn is_altered(row: &JobRow, status: &JobStatus) -> bool {
    row.manifest_sha256() != status.manifest_sha256
}

/// What everybody is told about it.
pub(super) fn altered(job: &str, revision: i32) -> Problem {
    Problem::new(
        "job.tampered",
        format!("the manifest of revision {revision} of job `{job}` was altered after it was answered"),
    )
    .help("write back what it was, or add a revision: `helenus job create`, or a row with the next number")
}

/// Marks the answer. `None`: somebody else answered in this moment.
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
