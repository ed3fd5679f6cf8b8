//! Prepares a job as a run was planned.

use super::{
    indexing::announced,
    prepare::{PreparedJob, source_changed},
    ready::stored_manifest,
    tamper::{altered, is_altered},
};
use crate::{
    domain::{
        job::{
            compile::{Asked, Existing, compile},
            manifest::{Manifest, VersionWish},
        },
        model::ReadyVersion,
        problem::Problem,
        run::Run,
    },
    engine::artifacts,
    failure::Failure,
    store::{Store, registry::admissions::Readiness},
};

/// Prepares the job as a run was planned: with its revision and its versions, whatever their state
/// is now.
///
/// # Errors
/// As [`super::prepare`]; `run.model_changed` if a version is not the one that was planned.
pub async fn prepare_planned(store: &Store, run: &Run) -> Result<PreparedJob, Failure> {
    let rows = store.job_rows(&run.job).await?;
    let row = rows
        .iter()
        .find(|row| row.revision == Some(run.job_revision));
    let row = row.ok_or_else(|| {
        Failure::not_found(Problem::new(
            "job.unknown",
            format!("job `{}` has no revision {}", run.job, run.job_revision),
        ))
    })?;
    let statuses = store.job_statuses(&run.job).await?;
    let mut answered = statuses.iter();
    if answered.any(|status| status.revision == run.job_revision && is_altered(row, status)) {
        return Err(Failure::input(altered(&run.job, run.job_revision)));
    }
    let manifest = stored_manifest(row).map_err(Failure::inputs)?;
    let asked = planned_versions(store, &manifest, run).await?;
    let mut problems = Vec::new();
    let Some(source) = store.table(&manifest.source).await? else {
        return Err(Failure::input(source_changed(
            &run.job,
            &format!("table {} is gone", manifest.source),
        )));
    };
    let name = manifest.target();
    let live = store.table(&name).await?;
    let claim = store.claim_of(&name).await?;
    let indexes = store.table_indexes(&name).await?;
    let announced = announced(&rows, run.job_revision);
    let existing = live.as_ref().map(|schema| Existing {
        schema,
        made: claim.as_ref().map(|claim| &claim.outputs),
        indexes: &indexes,
        announced: &announced,
    });
    match compile(&manifest, &source, run.source_version, existing, &asked) {
        Ok(job) => Ok(PreparedJob {
            job,
            manifest,
            revision: run.job_revision,
            aliases: run.aliases.clone(),
            paused: rows.iter().any(|row| row.paused == Some(true)),
        }),
        Err(more) => {
            let what = more.first().map(Problem::line).unwrap_or_default();
            problems.push(source_changed(&run.job, &what));
            problems.extend(more);
            Err(Failure::inputs(problems))
        }
    }
}

async fn planned_versions(
    store: &Store,
    manifest: &Manifest,
    run: &Run,
) -> Result<Vec<Asked>, Failure> {
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for number in &run.versions {
        match began_with(store, &manifest.model, *number).await? {
            Err(problem) => problems.push(problem),
            Ok(ready) => {
                let planned = run.model_sha256.get(number);
                if planned.is_some_and(|planned| planned[..] != ready.admitted.sha256[..]) {
                    problems.push(Problem::new(
                        "run.model_changed",
                        format!("version {number} of model `{}` is not the one that this run was planned with", manifest.model),
                    ));
                }
                let mut by = vec![VersionWish::Number(*number)];
                let aliases = run.aliases.iter().filter(|(_, at)| *at == number);
                by.extend(aliases.map(|(alias, _)| VersionWish::Alias(alias.clone())));
                match artifacts::load(store, &ready.admitted).await? {
                    Ok(artifacts) => asked.push(Asked {
                        ready,
                        by,
                        artifacts,
                    }),
                    Err(problem) => problems.push(problem),
                }
            }
        }
    }
    match problems.is_empty() {
        true => Ok(asked),
        false => Err(Failure::inputs(problems)),
    }
}

/// Returns a version that a run was planned with. It may be retired by now, and is then still
/// scored to the end of the run.
async fn began_with(
    store: &Store,
    model: &str,
    version: i32,
) -> Result<Result<ReadyVersion, Problem>, Failure> {
    let readiness = store.readiness(model, version).await?;
    if let Readiness::Retired = readiness {
        let admission = store.admission(model, version).await?;
        if let Some(admitted) = admission.and_then(|admission| admission.admitted) {
            return Ok(Ok(ReadyVersion {
                model: model.to_owned(),
                version,
                admitted,
            }));
        }
    }
    let problem = readiness.problem(model, version);
    Ok(match (readiness, problem) {
        (Readiness::Ready(ready), _) => Ok(*ready),
        (_, Some(problem)) => Err(problem.at("versions")),
        (_, None) => Err(Problem::new("model.undecided", "neither ready nor not")),
    })
}
