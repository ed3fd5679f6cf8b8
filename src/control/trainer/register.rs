//! Registers the version of a training: once for a request, whoever crashes in between.
//!
//! The number is reserved in the row of the training, under the claim, and the version is written
//! under this number only, if it is free. A trainer that was frozen meanwhile can only write what
//! was reserved, and that is the same number: of two writes one succeeds, and both are for this
//! request. Another number is reserved only if another registrar has taken the first one for good.

use std::fs::File;

use super::{artifacts::Artifacts, claim::HeldClaim, train::lost};
use crate::{
    domain::{
        problem::Problem,
        retraining::state::{REQUEST_TAG, RetrainingRequest},
    },
    failpoint,
    failure::Failure,
    process,
    store::{
        Store,
        registry::{chunks::Blob, models::VersionRow},
    },
};

/// Returns the version that an earlier attempt has registered.
///
/// # Errors
/// Errors of Cassandra.
pub async fn registered(
    store: &Store,
    request: &RetrainingRequest,
) -> Result<Option<i32>, Failure> {
    let training = store
        .training(&request.model, &request.name, request.id)
        .await?;
    let Some(version) = training.and_then(|training| training.version) else {
        return Ok(None);
    };
    let row = store.version(&request.model, version).await?;
    Ok(row.filter(|row| is_ours(row, request)).map(|_| version))
}

fn is_ours(row: &VersionRow, request: &RetrainingRequest) -> bool {
    let tag = row.tags.as_ref().and_then(|tags| tags.get(REQUEST_TAG));
    tag.is_some_and(|tag| *tag == request.id.to_string())
}

/// Uploads the files and registers the version; returns its number.
///
/// # Errors
/// Errors of Cassandra; the claim is lost; the files cannot be read (retryable, all of them).
pub async fn register(
    store: &Store,
    request: &RetrainingRequest,
    held: &HeldClaim,
    artifacts: Artifacts,
    tags: Vec<(&'static str, String)>,
) -> Result<i32, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("model.onnx cannot be read: {error}");
        Failure::system(Problem::new("training.model", message))
    };
    let open = || File::open(&artifacts.model).map_err(unreadable);
    let blob = Blob::measure(open()?).map_err(unreadable)?;
    store.upload(open()?, &blob, |_| {}).await?;
    let text = artifacts.golden.as_bytes();
    let golden = Blob::measure(text).map_err(unreadable)?;
    store.upload(text, &golden, |_| {}).await?;
    let tags = tags
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let row = VersionRow {
        name: request.model.clone(),
        format: Some("onnx".to_owned()),
        sha256: Some(blob.sha256.to_vec()),
        size: i64::try_from(blob.size).ok(),
        chunks: Some(blob.chunks),
        feature_names: Some(artifacts.feature_names),
        golden_sha256: Some(golden.sha256.to_vec()),
        tags: Some(tags.collect()),
        metrics: Some(artifacts.metrics).filter(|metrics| !metrics.is_empty()),
        note: Some(format!("retraining {}: {}", request.name, request.cause)),
        registered_by: Some(format!(
            "trainer {} by {}",
            request.spec.trainer,
            process::user()
        )),
        ..VersionRow::default()
    };
    let claim = held.claim();
    let training = store
        .training(&request.model, &request.name, request.id)
        .await?;
    let mut reserved = training.and_then(|training| training.version);
    loop {
        let number = match reserved {
            Some(number) => number,
            None => {
                let number = store.last_version(&request.model).await? + 1;
                if !store.reserve_version(claim, None, number).await? {
                    return Err(lost());
                }
                number
            }
        };
        failpoint::hit("after_version_reserved");
        let own = VersionRow {
            version: number,
            ..row.clone()
        };
        let stored = store.insert_reserved_version(own).await?;
        if is_ours(&stored, request) {
            // Not before: the number may turn out to be somebody else's.
            if let Some(reference) = &artifacts.reference {
                store
                    .put_reference(&request.model, number, reference)
                    .await?;
            }
            failpoint::hit("after_version_registered");
            return Ok(number);
        }
        let next = store.last_version(&request.model).await? + 1;
        if !store.reserve_version(claim, Some(number), next).await? {
            return Err(lost());
        }
        reserved = Some(next);
    }
}
