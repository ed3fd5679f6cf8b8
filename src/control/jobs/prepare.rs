//! Prepares jobs whose rows are answered first, and records what preparing them has shown.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::answer;
use crate::{
    domain::job::{CompiledJob, compile::is_unproven},
    engine::jobs::{NotReady, PreparedJob, ReadyRevision},
    failure::Failure,
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        jobs::{JobState, JobStatus},
    },
};

/// Answers the job's newest revision, if necessary, and prepares the job as it then is.
///
/// # Errors
/// Those of [`answer`] and of [`crate::engine::jobs::prepare`]; what no longer fits is recorded in
/// `job_status`, visible to all users, until the job fits again.
pub async fn prepare(
    store: &Store,
    job: &str,
    versions: Option<&BTreeSet<i32>>,
) -> Result<PreparedJob, Failure> {
    Box::pin(prepare_pointing(store, job, versions, &BTreeMap::new())).await
}

/// As [`prepare`], as if these aliases pointed there: for predictions that must exist before an
/// alias moves.
///
/// # Errors
/// As [`prepare`].
pub async fn prepare_pointing(
    store: &Store,
    job: &str,
    versions: Option<&BTreeSet<i32>>,
    pointing: &BTreeMap<String, i32>,
) -> Result<PreparedJob, Failure> {
    answer(store, job).await?;
    let ready = match ReadyRevision::find(store, job).await {
        Ok(ready) => ready,
        Err(why) => return Err(recorded(store, why).await?),
    };
    let status = ready.status.clone();
    let prepared = match ready.prepare(store, versions, pointing).await {
        Ok(prepared) => prepared,
        Err(why) => return Err(recorded(store, why).await?),
    };
    if pointing.is_empty() {
        note_unproven(store, &status, &prepared.job).await?;
    }
    Ok(prepared)
}

/// Records that the answer to a ready revision no longer holds. Returns the failure.
async fn recorded(store: &Store, why: NotReady) -> Result<Failure, StoreError> {
    if let NotReady::Outdated { now, .. } = &why {
        store.answer_job(now, Some(JobState::Ready)).await?;
    }
    Ok(why.into())
}

/// Updates `job_status.warnings` to the versions that the job has now: an alias may have moved to
/// one whose order nothing proves.
async fn note_unproven(
    store: &Store,
    status: &JobStatus,
    job: &CompiledJob,
) -> Result<(), StoreError> {
    let of = |warnings: &[String]| -> (Vec<String>, Vec<String>) {
        let warnings = warnings.iter().cloned();
        warnings.partition(|warning| is_unproven(warning))
    };
    let ((said, others), (now, _)) = (of(&status.warnings), of(&job.warnings));
    if said == now {
        return Ok(());
    }
    let noted = JobStatus {
        warnings: [others, now].concat(),
        ..status.clone()
    };
    match store.answer_job(&noted, Some(status.state)).await {
        Ok(_) => Ok(()),
        // A process that is permitted to write the warnings will do so.
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::Unknown) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}
