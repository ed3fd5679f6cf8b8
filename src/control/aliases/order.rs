//! Checks, before an alias moves, the expected rows of the jobs that follow it.
//!
//! They are scored without the lease, because loading a model may take long. Rows that came out as
//! expected are recorded with the job ([`jobs::prove_order`]), so the next look at the request
//! finds nothing due.

use std::collections::BTreeMap;

use super::{coverage::Move, followers::jobs_naming};
use crate::{
    domain::problem::Problem,
    engine::jobs,
    failure::{Exit, Failure},
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        registry::alias_requests::AliasRequest,
    },
};

/// Problem code for a version under which a job's expected rows differ.
const DIFFERS: &str = "alias.expect_differs";

/// A job whose expected rows must be compared with the version that an alias is to move to.
#[derive(Debug)]
pub(super) struct DueProof {
    job: String,
    revision: i32,
    model: String,
    alias: String,
    version: i32,
}

/// Returns the jobs that follow the alias and have not compared their expected rows with the
/// version yet.
///
/// # Errors
/// Errors of Cassandra.
pub(super) async fn due(store: &Store, to: &Move<'_>) -> Result<Vec<DueProof>, StoreError> {
    // No job can follow an alias that does not exist.
    if to.from.is_none() {
        return Ok(Vec::new());
    }
    let mut dues = Vec::new();
    for naming in jobs_naming(store, to.model, to.alias).await? {
        if !naming.expects {
            continue;
        }
        let due = DueProof {
            revision: naming.revision(),
            job: naming.job,
            model: to.model.to_owned(),
            alias: to.alias.to_owned(),
            version: to.to,
        };
        if prepared(store, &due).await?.is_some() {
            dues.push(due);
        }
    }
    Ok(dues)
}

/// Returns the job with the version alone, if its expected rows must still be compared with that
/// version.
async fn prepared(store: &Store, due: &DueProof) -> Result<Option<jobs::PreparedJob>, StoreError> {
    let pointing = BTreeMap::from([(due.alias.clone(), due.version)]);
    let prepared = jobs::pointing(store, &due.job, due.revision, &pointing).await?;
    let Some(mut prepared) = prepared else {
        return Ok(None);
    };
    let versions = &mut prepared.job.versions;
    versions.retain(|version| version.ready.version == due.version);
    let due = jobs::order_due(store, &prepared).await?;
    Ok((!due.is_empty()).then_some(prepared))
}

/// Outcome of comparing a job's expected rows with a version.
pub(super) enum Proof {
    /// The rows came out as expected, and that is recorded.
    Noted,
    /// This process cannot decide now; another process, or the next round, may.
    Later,
    /// The alias must not move.
    Refused(Problem),
}

/// Compares the job's expected rows with the version's predictions.
///
/// # Errors
/// Errors of Cassandra.
pub(super) async fn prove(
    store: &Store,
    request: &AliasRequest,
    due: &DueProof,
) -> Result<Proof, StoreError> {
    let Some(prepared) = prepared(store, due).await? else {
        return Ok(Proof::Noted);
    };
    match jobs::prove_order(store, &prepared).await {
        // A login that is not permitted to record the result would score the rows in every round.
        Ok(()) if jobs::order_due(store, &prepared).await?.is_empty() => Ok(Proof::Noted),
        Ok(()) => Err(StoreError {
            kind: StoreErrorKind::Denied,
            detail: format!(
                "what the expected rows of job `{}` proved could not be noted in job_status",
                due.job
            ),
            cql: String::new(),
        }),
        Err(failure) if is_about_the_version(&failure) => {
            Ok(Proof::Refused(refused(due, &failure)))
        }
        Err(failure) if failure.is("cassandra.denied") => Err(StoreError {
            kind: StoreErrorKind::Denied,
            detail: failure.to_string(),
            cql: String::new(),
        }),
        Err(failure) => {
            tracing::warn!(job = due.job, request = %request.id, %failure, "expected rows could not be scored for an alias");
            Ok(Proof::Later)
        }
    }
}

/// Returns whether a retry, here or elsewhere, would have the same outcome.
fn is_about_the_version(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Input | Exit::No) || failure.is("scorer.failed")
}

fn refused(due: &DueProof, failure: &Failure) -> Problem {
    let what: Vec<String> = failure
        .problems
        .iter()
        .map(|one| one.message.clone())
        .collect();
    let what = what.join("; ");
    let DueProof {
        job,
        revision,
        model,
        version,
        ..
    } = due;
    match failure.is(jobs::EXPECT_DIFFERS) {
        true => Problem::new(
            DIFFERS,
            format!("expected rows of job `{job}`, revision {revision}, are not what version {version} of `{model}` predicts: {what}"),
        )
        .help("was it trained on its features in another order than [wide] gives? Push it with --features, or give the job a revision that is right for it: another [wide], or expected rows with a column model_version"),
        false => Problem::new(
            DIFFERS,
            format!("expected rows of job `{job}`, revision {revision}, could not be compared with version {version} of `{model}`: {what}"),
        ),
    }
}
