//! Compares expected rows with the predictions of each version that joins a job.
//!
//! If `[wide]` alone gives the order in which features fill an input, a version that was trained on
//! another order scores every row, and every score is wrong. So expected rows are compared with
//! such a version's predictions at three points: when a revision that has it is answered, when a
//! run is planned with it, and before an alias that the job follows moves to it.
//!
//! Versions whose rows came out as expected are recorded with the revision
//! (`job_status.order_proven`) under the version's fingerprint. So nothing is scored twice, and
//! expected rows that have since changed in the source do not block the way back to a version.

use std::collections::BTreeMap;

use super::{expect, prepare::PreparedJob, ready::stored_manifest, resolve};
use crate::{
    domain::job::{CompiledJob, CompiledVersion, expect as domain, manifest::Manifest},
    failure::Failure,
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
    },
};

/// Compares expected rows with the versions that have not been proven yet, and records the versions
/// whose rows came out as expected.
///
/// # Errors
/// The rows that differ (exit 2); errors of Cassandra and of ONNX Runtime.
pub async fn prove_order(store: &Store, prepared: &PreparedJob) -> Result<(), Failure> {
    let proven = check_order(store, prepared).await?;
    note(store, &prepared.job, prepared.revision, &proven).await
}

/// As [`prove_order`], but records nothing. Returns the versions whose rows came out as expected.
///
/// # Errors
/// As [`prove_order`].
pub async fn check_order(store: &Store, prepared: &PreparedJob) -> Result<Vec<i32>, Failure> {
    let due = due(store, prepared).await?;
    if due.is_empty() {
        return Ok(due);
    }
    let mut job = prepared.job.clone();
    job.versions
        .retain(|version| due.contains(&version.ready.version));
    expect::check_rows(store, &prepared.manifest, &prepared.aliases, &job)
        .await?
        .map_err(Failure::inputs)?;
    Ok(due)
}

/// Returns the versions of a job whose order expected rows can prove and have not proven yet.
///
/// # Errors
/// Errors of Cassandra.
pub async fn due(store: &Store, prepared: &PreparedJob) -> Result<Vec<i32>, StoreError> {
    let provable = provable(&prepared.manifest, &prepared.job);
    if provable.is_empty() {
        return Ok(Vec::new());
    }
    let job = &prepared.job.job;
    let proven = store.order_proven(job, prepared.revision).await?;
    let is_due = |version: &&CompiledVersion| {
        let noted = proven.get(&version.ready.version);
        noted.is_none_or(|noted| noted[..] != version.hash_prefix)
    };
    let due = provable.into_iter().filter(is_due);
    Ok(due.map(|version| version.ready.version).collect())
}

/// Returns the versions whose order only `[wide]` gives and that expected rows are about.
fn provable<'j>(manifest: &Manifest, job: &'j CompiledJob) -> Vec<&'j CompiledVersion> {
    let is_ordered = |version: &&CompiledVersion| !version.ordered_by_manifest.is_empty();
    let ordered: Vec<_> = job.versions.iter().filter(is_ordered).collect();
    if ordered.is_empty() {
        return ordered;
    }
    match domain::of_manifest(manifest, job) {
        None => Vec::new(),
        // Returns all of them: the check reports what is wrong with the rows.
        Some(Err(_)) => ordered,
        Some(Ok(rows)) => {
            let is_about = |version: &CompiledVersion| {
                let number = version.ready.version;
                rows.iter().any(|row| row.is_about(version, number))
            };
            ordered.into_iter().filter(|one| is_about(one)).collect()
        }
    }
}

/// Records that a revision was answered whose expected rows came out as expected under all its
/// versions.
///
/// # Errors
/// Errors of Cassandra.
pub async fn note_answered(
    store: &Store,
    manifest: &Manifest,
    job: &CompiledJob,
    revision: i32,
) -> Result<(), Failure> {
    let provable = provable(manifest, job).into_iter();
    let versions: Vec<i32> = provable.map(|version| version.ready.version).collect();
    note(store, job, revision, &versions).await
}

async fn note(
    store: &Store,
    job: &CompiledJob,
    revision: i32,
    versions: &[i32],
) -> Result<(), Failure> {
    for version in &job.versions {
        let number = version.ready.version;
        if !versions.contains(&number) {
            continue;
        }
        let noted = store
            .note_order_proven(&job.job, revision, number, &version.hash_prefix)
            .await;
        match noted {
            Ok(()) => {}
            // Without the record, the next check scores the rows again.
            Err(error)
                if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::Unknown) =>
            {
                tracing::debug!(job = job.job, number, %error, "what expected rows proved is not noted");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the job of a revision as if these aliases pointed there, or `None` if it would not fit
/// its tables or models, which its runs report.
///
/// # Errors
/// Errors of Cassandra.
pub async fn pointing(
    store: &Store,
    job: &str,
    revision: i32,
    pointing: &BTreeMap<String, i32>,
) -> Result<Option<PreparedJob>, StoreError> {
    let rows = store.job_rows(job).await?;
    let Some(row) = rows.iter().find(|row| row.revision == Some(revision)) else {
        return Ok(None);
    };
    let Ok(manifest) = stored_manifest(row) else {
        return Ok(None);
    };
    let checked = resolve::check_pointing(store, &manifest, pointing).await?;
    Ok(checked.ok().map(|checked| PreparedJob {
        job: checked.job,
        manifest,
        revision,
        aliases: checked.aliases,
        paused: rows.iter().any(|row| row.paused == Some(true)),
    }))
}
