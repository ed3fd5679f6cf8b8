//! Prepares a job for a run: compiles the newest ready revision against the current tables and
//! models.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    answer::{line, needs_table, read, serve},
    indexing::announced,
    resolve::{self, NOT_ALLOWED},
    tamper::{self, is_altered},
};
use crate::{
    domain::{
        job::{
            CompiledJob,
            compile::{Asked, Existing, compile, is_unproven},
            manifest::{Manifest, VersionWish},
            mapping::listed,
        },
        model::ReadyVersion,
        names::nearest,
        problem::Problem,
        run::Run,
    },
    engine::artifacts,
    failure::{Exit, Failure},
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        jobs::{JobRow, JobState, JobStatus},
        predictions::prediction_ddl::Made,
        registry::admissions::Readiness,
    },
};

/// What a run needs to know about its job.
#[derive(Debug, Clone)]
pub struct PreparedJob {
    /// The compiled job, for the requested versions.
    pub job: CompiledJob,
    /// The manifest that the job was compiled from.
    pub manifest: Manifest,
    /// The revision that the job was compiled from.
    pub revision: i32,
    /// The manifest's aliases and the versions they point to now.
    pub aliases: BTreeMap<String, i32>,
    /// Whether the job is paused, so that no run of it starts automatically.
    pub paused: bool,
}

/// Prepares the job in its current state. An unanswered revision is answered first, and a dropped
/// prediction table is created again. `versions`: only these of the job's versions.
///
/// # Errors
/// The job does not exist (exit 5); it was deleted, or has no ready revision (exit 2, all
/// problems); `job.source_changed` if the source no longer fits (exit 2; recorded in `job_status`);
/// a table that helenus is not permitted to create (exit 3); errors of Cassandra.
pub async fn prepare(
    store: &Store,
    job: &str,
    versions: Option<&BTreeSet<i32>>,
) -> Result<PreparedJob, Failure> {
    Box::pin(prepare_pointing(store, job, versions, &BTreeMap::new())).await
}

/// As [`prepare`], but only reads: a revision that waits for its answer is not used yet, and the
/// tables must exist. For processes that are not permitted to write.
///
/// # Errors
/// As [`prepare`], except that nothing is recorded.
pub async fn read_ready(store: &Store, job: &str) -> Result<PreparedJob, Failure> {
    let rows = existing(store, job).await?;
    let newest = store.job_statuses(job).await?.into_iter().next();
    let (status, row) = usable(store, job, &rows, newest.as_ref()).await?;
    let manifest = read(row).map_err(Failure::inputs)?;
    let checked = resolve::check(store, &manifest).await?;
    let checked = checked.map_err(Failure::inputs)?;
    Ok(PreparedJob {
        job: checked.job,
        manifest,
        revision: status.revision,
        aliases: checked.aliases,
        paused: is_paused(&rows),
    })
}

/// Returns the revision that [`read_ready`] would use, without looking at models and tables; `None`
/// if there is none.
///
/// # Errors
/// Errors of Cassandra.
pub async fn ready_revision(store: &Store, job: &str) -> Result<Option<i32>, StoreError> {
    let rows = store.job_rows(job).await?;
    if rows.iter().any(|row| row.deleted == Some(true)) {
        return Ok(None);
    }
    let statuses = store.job_statuses(job).await?;
    let mut ready = statuses
        .into_iter()
        .filter(|status| status.state == JobState::Ready);
    Ok(ready.next().map(|status| status.revision))
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
    let newest = serve(store, job).await?;
    let rows = existing(store, job).await?;
    let (status, row) = match usable(store, job, &rows, newest.as_ref()).await {
        Err(failure) if failure.is(tamper::ALTERED) => {
            tamper::mark_ready(store, job).await?;
            return Err(failure);
        }
        usable => usable?,
    };
    let manifest = read(row).map_err(Failure::inputs)?;
    let checked = match resolve::check_pointing(store, &manifest, pointing).await? {
        Ok(checked) => checked,
        Err(problems) => return Err(changed(store, &status, problems).await?),
    };
    let mut compiled = checked.job;
    if let Made::Denied(statements) = store.make_prediction_table(&compiled).await? {
        let mut problem = needs_table(&manifest.target());
        problem.help = Some(format!(
            "an administrator must run: {}",
            statements.join("; ")
        ));
        return Err(Failure::system(problem));
    }
    if pointing.is_empty() {
        say_unproven(store, &status, &compiled).await?;
    }
    if let Some(newest) = newest.filter(|newest| newest.revision != status.revision) {
        compiled.warnings.push(format!(
            "older_revision: revision {} is {}; revision {} is used",
            newest.revision,
            newest.state.as_str(),
            status.revision
        ));
    }
    if let Some(wanted) = versions {
        narrow(&mut compiled, wanted)?;
    }
    Ok(PreparedJob {
        job: compiled,
        manifest,
        revision: status.revision,
        aliases: checked.aliases,
        paused: is_paused(&rows),
    })
}

/// Returns the rows of a job that exists.
async fn existing(store: &Store, job: &str) -> Result<Vec<JobRow>, Failure> {
    let rows = store.job_rows(job).await?;
    if !rows.iter().any(|row| row.revision.is_some()) {
        return Err(unknown(store, job).await?);
    }
    if rows.iter().any(|row| row.deleted == Some(true)) {
        return Err(Failure::input(
            Problem::new("job.deleted", format!("job `{job}` was deleted"))
                .help("`helenus job create` with its manifest brings it back"),
        ));
    }
    Ok(rows)
}

fn is_paused(rows: &[JobRow]) -> bool {
    rows.iter().any(|row| row.paused == Some(true))
}

/// Updates `job_status.warnings` to the versions that the job has now: an alias may have moved to
/// one whose order nothing proves.
async fn say_unproven(
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

/// Prepares the job as a run was planned: with its revision and its versions, whatever their state
/// is now.
///
/// # Errors
/// As [`prepare`]; `run.model_changed` if a version is not the one that was planned.
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
        return Err(Failure::input(tamper::altered(&run.job, run.job_revision)));
    }
    let manifest = read(row).map_err(Failure::inputs)?;
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

/// Returns the failure for a job that does not exist; it suggests the nearest name.
///
/// # Errors
/// Errors of Cassandra.
pub async fn unknown(store: &Store, job: &str) -> Result<Failure, Failure> {
    let jobs = store.sweep_jobs().await?;
    let near = nearest(job, jobs.iter().map(String::as_str));
    let problem = Problem::new("job.unknown", format!("there is no job `{job}`"));
    Ok(Failure::not_found(problem.help(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`helenus job list` shows all".to_owned(),
    })))
}

/// Returns the newest ready revision with its row.
async fn usable<'a>(
    store: &Store,
    job: &str,
    rows: &'a [JobRow],
    newest: Option<&JobStatus>,
) -> Result<(JobStatus, &'a JobRow), Failure> {
    let statuses = store.job_statuses(job).await?;
    let ready = statuses
        .into_iter()
        .find(|status| status.state == JobState::Ready);
    if let Some(ready) = ready
        && let Some(row) = rows.iter().find(|row| row.revision == Some(ready.revision))
    {
        if is_altered(row, &ready) {
            return Err(Failure::input(tamper::altered(job, ready.revision)));
        }
        return Ok((ready, row));
    }
    Err(match newest {
        Some(status) => refused(status),
        None => Failure::input(
            Problem::new(
                "job.unanswered",
                format!("job `{job}` waits for a version that admission has yet to decide about"),
            )
            .help("a running worker admits it, or `helenus worker --once` does"),
        ),
    })
}

/// Returns the answer in `job_status`, as a failure.
pub fn refused(status: &JobStatus) -> Failure {
    let head = Problem::new(
        &format!("job.{}", status.state.as_str()),
        format!(
            "revision {} of job `{}` is {}",
            status.revision,
            status.job,
            status.state.as_str()
        ),
    );
    let (exit, head) = match status.state {
        JobState::NeedsTable => (
            Exit::System,
            head.help(format!(
                "an administrator must run: {}",
                status.ddl.join("; ")
            )),
        ),
        _ => (Exit::Input, head),
    };
    let problems = status
        .problems
        .iter()
        .map(|line| match line.split_once(": ") {
            Some((code, rest)) => Problem::new(code, rest),
            None => Problem::new("job.invalid", line),
        });
    Failure {
        exit,
        problems: [head].into_iter().chain(problems).collect(),
    }
}

/// Handles a ready job that no longer fits: records it, visible to all users, until the job fits
/// again.
async fn changed(
    store: &Store,
    status: &JobStatus,
    problems: Vec<Problem>,
) -> Result<Failure, Failure> {
    // An alias that moved or a version that was retired is not a change of the source.
    let of_models = |problem: &Problem| {
        let place = problem.place.as_deref().unwrap_or_default();
        place == "versions" || place == "model" || place == "source.version"
    };
    if problems.iter().all(of_models) {
        return Ok(Failure::inputs(problems));
    }
    if let Some(revoked) = problems.iter().find(|one| one.code == NOT_ALLOWED) {
        let noted = JobStatus {
            state: JobState::Invalid,
            problems: problems.iter().map(line).collect(),
            ..status.clone()
        };
        store.answer_job(&noted, Some(JobState::Ready)).await?;
        return Ok(Failure::input(revoked.clone()));
    }
    let what = problems.first().map(Problem::line).unwrap_or_default();
    let head = source_changed(&status.job, &what);
    let noted = JobStatus {
        state: JobState::SourceChanged,
        problems: [&head].into_iter().chain(&problems).map(line).collect(),
        ..status.clone()
    };
    store.answer_job(&noted, Some(JobState::Ready)).await?;
    Ok(Failure::inputs([vec![head], problems].concat()))
}

fn source_changed(job: &str, what: &str) -> Problem {
    Problem::new(
        "job.source_changed",
        format!("the tables of job `{job}` no longer fit it: {what}"),
    )
    .help("bring the table back, or give the job a new revision")
}

fn narrow(job: &mut CompiledJob, wanted: &BTreeSet<i32>) -> Result<(), Failure> {
    let known: BTreeSet<i32> = job.versions.iter().map(|v| v.ready.version).collect();
    if let Some(stranger) = wanted.difference(&known).next() {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        return Err(Failure::input(
            Problem::new(
                "job.unknown_version",
                format!("version {stranger} is none of job `{}`", job.job),
            )
            .at("versions")
            .help(format!(
                "its versions are {} now; add {stranger} to the manifest's `versions`",
                listed(known.iter().map(String::as_str))
            )),
        ));
    }
    job.versions.retain(|v| wanted.contains(&v.ready.version));
    Ok(())
}
