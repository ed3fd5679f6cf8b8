//! Recognises revisions whose manifest was altered after it was answered.
//!
//! A revision is immutable, since runs and predictions refer to it as their proof. So an altered
//! revision is not checked again but refused, until its text is restored.

use crate::{
    domain::problem::Problem,
    store::jobs::{JobRow, JobState, JobStatus},
};

/// Returns whether the row differs from the one that was answered.
pub fn is_altered(row: &JobRow, status: &JobStatus) -> bool {
    row.manifest_sha256() != status.manifest_sha256
}

/// Returns the problem that is reported for an altered revision.
pub fn altered(job: &str, revision: i32) -> Problem {
    Problem::new(
        "job.tampered",
        format!("the manifest of revision {revision} of job `{job}` was altered after it was answered"),
    )
    .help("write back what it was, or add a revision: `helenus job create`, or a row with the next number")
}

/// Returns what the answer to an altered revision should be.
pub fn tampered(status: &JobStatus) -> JobStatus {
    JobStatus {
        state: JobState::Tampered,
        problems: vec![altered(&status.job, status.revision).coded_line()],
        ..status.clone()
    }
}
