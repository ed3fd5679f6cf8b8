//! Answers revisions of jobs, whichever client wrote them.

use crate::{
    domain::{
        job::{
            CompiledJob,
            manifest::{Manifest, TableName},
        },
        problem::Problem,
    },
    engine::{
        jobs::{
            self, Checked, EXPECT_DIFFERS, PENDING, belongs_to, is_altered, needs_table,
            stored_manifest, tampered,
        },
        models::ModelFiles,
    },
    failure::Failure,
    store::{
        Store,
        driver::{error::StoreErrorKind, names::JOB},
        jobs::{JobRow, JobState, JobStatus},
        predictions::prediction_ddl::{Made, target_id},
    },
};

/// Answers every job whose newest revision has no answer, or an answer that may have improved
/// since. Returns how many answers were written.
///
/// # Errors
/// Errors of Cassandra, after every job was tried: a failure of one job does not block others.
pub async fn run_once(store: &Store) -> Result<usize, Failure> {
    let mut answered = 0;
    let mut failure = None;
    for job in store.sweep_jobs().await? {
        match answer_counting(store, &job).await {
            Ok((_, count)) => answered += count,
            Err(error) => {
                tracing::warn!(job, %error, "could not be checked");
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(answered),
    }
}

/// Answers one job's newest revision, if necessary. Returns the current answer, or `None` while the
/// revision waits for admission and for a job that does not exist or was deleted.
///
/// # Errors
/// Errors of Cassandra and of ONNX Runtime; mistakes of the job itself are an answer.
pub async fn answer(store: &Store, job: &str) -> Result<Option<JobStatus>, Failure> {
    Ok(Box::pin(answer_counting(store, job)).await?.0)
}

/// Attempts to write an answer while other processes win the race; after that, the answer is left
/// to them.
const RACES: usize = 5;

async fn answer_counting(store: &Store, job: &str) -> Result<(Option<JobStatus>, usize), Failure> {
    let mut last = None;
    for _ in 0..RACES {
        match answer_once(store, job).await? {
            Turn::Done(status, count) => return Ok((status.map(|status| *status), count)),
            Turn::Raced(status) => last = status.map(|status| *status),
        }
    }
    Ok((last, 0))
}

enum Turn {
    /// The current answer, and how many answers were written.
    Done(Option<Box<JobStatus>>, usize),
    /// Another worker was faster, perhaps with a newer revision.
    Raced(Option<Box<JobStatus>>),
}

async fn answer_once(store: &Store, job: &str) -> Result<Turn, Failure> {
    let done = |status: Option<JobStatus>, count| Ok(Turn::Done(status.map(Box::new), count));
    let rows = store.job_rows(job).await?;
    let deleted = rows.iter().any(|row| row.deleted == Some(true));
    let Some((row, revision)) = rows.iter().find_map(|row| Some((row, row.revision?))) else {
        return done(None, 0);
    };
    if deleted {
        return done(None, 0);
    }
    let statuses = store.job_statuses(job).await?;
    let standing = statuses
        .iter()
        .find(|status| status.revision == revision)
        .cloned();
    if let Some(old) = standing.as_ref().filter(|old| is_altered(row, old)) {
        if old.state == JobState::Tampered {
            return done(standing, 0);
        }
        let marked = tampered(old);
        return match store.answer_job(&marked, Some(old.state)).await? {
            true => done(Some(marked), 1),
            false => Ok(Turn::Raced(standing.map(Box::new))),
        };
    }
    if let Some(ready) = standing.clone().filter(|s| s.state == JobState::Ready) {
        let count = supersede(store, &rows, &statuses, revision).await?;
        return done(Some(ready), count);
    }
    let (decision, made_of) = match decide(store, row, revision, standing.as_ref()).await? {
        Decision::Wait => return done(standing, 0),
        Decision::Status(status) => (*status, None),
        Decision::Ready(status, made_of) => (*status, Some(made_of)),
    };
    if let Some(standing) = standing.clone().filter(|old| {
        // Of a changed source, only whether it fits again matters.
        let still_changed =
            old.state == JobState::SourceChanged && decision.state == JobState::Invalid;
        still_changed || says_the_same(old, &decision)
    }) {
        return done(Some(standing), 0);
    }
    store.note_name(JOB, job).await?;
    let was = standing.as_ref().map(|status| status.state);
    if !store.answer_job(&decision, was).await? {
        let statuses = store.job_statuses(job).await?;
        let standing = statuses
            .into_iter()
            .find(|status| status.revision == revision);
        return Ok(Turn::Raced(standing.map(Box::new)));
    }
    tracing::info!(job, revision, state = decision.state.as_str(), "answered");
    let mut count = 1;
    if let Some(made_of) = made_of {
        let (manifest, job) = &*made_of;
        jobs::note_answered(store, manifest, job, revision).await?;
        count += supersede(store, &rows, &statuses, revision).await?;
    }
    done(Some(decision), count)
}

fn says_the_same(old: &JobStatus, new: &JobStatus) -> bool {
    old.state == new.state
        && old.problems == new.problems
        && old.warnings == new.warnings
        && old.ddl == new.ddl
        && old.expect_digest == new.expect_digest
        && old.manifest_sha256 == new.manifest_sha256
}

/// Marks older revisions as superseded by a ready one.
async fn supersede(
    store: &Store,
    rows: &[JobRow],
    statuses: &[JobStatus],
    ready: i32,
) -> Result<usize, Failure> {
    let mut count = 0;
    for row in rows {
        let Some(revision) = row.revision.filter(|revision| *revision < ready) else {
            continue;
        };
        let mut old = statuses
            .iter()
            .find(|status| status.revision == revision)
            .cloned();
        if old.as_ref().is_some_and(|old| {
            matches!(
                old.state,
                JobState::Superseded | JobState::Invalid | JobState::Tampered
            )
        }) {
            continue;
        }
        for _ in 0..RACES {
            let status = JobStatus {
                state: JobState::Superseded,
                problems: Vec::new(),
                ..old.clone().unwrap_or_else(|| blank(row, revision))
            };
            if store.answer_job(&status, old.map(|old| old.state)).await? {
                count += 1;
                break;
            }
            // Another process answered it at the same time.
            let statuses = store.job_statuses(&row.job).await?;
            old = statuses
                .into_iter()
                .find(|status| status.revision == revision);
            if old.as_ref().is_none_or(|old| old.state != JobState::Ready) {
                break;
            }
        }
    }
    Ok(count)
}

fn blank(row: &JobRow, revision: i32) -> JobStatus {
    JobStatus {
        job: row.job.clone(),
        revision,
        state: JobState::Invalid,
        problems: Vec::new(),
        warnings: Vec::new(),
        ddl: Vec::new(),
        ddl_applied: false,
        manifest_sha256: row.manifest_sha256(),
        model: None,
        source: None,
        source_id: None,
        target: None,
        target_id: None,
        fingerprint: None,
        expect_digest: None,
        decided_by: None,
        decided_at: None,
    }
}

enum Decision {
    Status(Box<JobStatus>),
    /// A ready status, with the manifest and the job that it was made from.
    Ready(Box<JobStatus>, Box<(Manifest, CompiledJob)>),
    /// The revision waits for admission, or for runs to end.
    Wait,
}

async fn decide(
    store: &Store,
    row: &JobRow,
    revision: i32,
    standing: Option<&JobStatus>,
) -> Result<Decision, Failure> {
    let mut status = blank(row, revision);
    let invalid = |mut status: JobStatus, problems: &[Problem]| {
        status.problems = problems.iter().map(Problem::coded_line).collect();
        Ok(Decision::Status(Box::new(status)))
    };
    let manifest = match stored_manifest(row) {
        Ok(manifest) => manifest,
        Err(problems) => return invalid(status, &problems),
    };
    let target = manifest.target();
    status.model = Some(manifest.model.clone());
    status.source = Some(manifest.source.to_string());
    status.target = Some(target.to_string());
    let Checked { job, aliases, .. } = match jobs::check(store, &manifest).await? {
        Ok(checked) => checked,
        Err(problems) if problems.iter().any(|problem| problem.code == PENDING) => {
            return Ok(Decision::Wait);
        }
        Err(problems) => return invalid(status, &problems),
    };
    status.source_id = Some(job.source.id);
    status.fingerprint = Some(job.fingerprint.to_vec());
    status.warnings.clone_from(&job.warnings);
    match jobs::read_expected_rows(store, &manifest, &aliases, &job).await? {
        Err(problems) => return invalid(status, &problems),
        Ok(None) => {}
        Ok(Some(expected)) => {
            status.expect_digest = Some(expected.digest());
            // Scoring the same rows with the same models again would have the same result.
            if let Some(same) = standing.filter(|old| failed_expectations(old, &status)) {
                return Ok(Decision::Status(Box::new(same.clone())));
            }
            let problems = expected
                .differences(store, &job, &ModelFiles::new())
                .await?;
            if !problems.is_empty() {
                return invalid(status, &problems);
            }
            status.expect_digest = None;
        }
    }
    if jobs::waits_for_runs(store, &job).await? {
        tracing::info!(job = job.job, "an index waits for open runs to end");
        return Ok(Decision::Wait);
    }
    // Up to here nothing was created.
    let outputs = job
        .target
        .outputs
        .iter()
        .map(|column| (column.name.clone(), column.cql_type.to_string()))
        .collect();
    let sides = job.side_tables().into_iter().map(|table| table.name);
    for table in [target.clone()].into_iter().chain(sides) {
        let claim = store.claim_table(&table, &manifest.job, &outputs).await?;
        if claim.job != manifest.job {
            return invalid(status, &[belongs_to(&table, &claim.job)]);
        }
    }
    match store.make_prediction_table(&job).await {
        Ok(Made::Ready(statements)) => {
            let current = job.current_table();
            store
                .keep_current_table(&manifest.job, &manifest.model, revision, current.as_ref())
                .await?;
            status.state = JobState::Ready;
            status.ddl = statements;
            status.ddl_applied = true;
            status.target_id = target_id_now(store, &target).await?;
            let made_of = Box::new((manifest, job));
            return Ok(Decision::Ready(Box::new(status), made_of));
        }
        Ok(Made::Denied(statements)) => {
            status.state = JobState::NeedsTable;
            status.ddl = statements;
            status.problems = vec![needs_table(&target).coded_line()];
        }
        Err(error) if error.kind == StoreErrorKind::Invalid => {
            let problem = Problem::new(
                "job.ddl_refused",
                format!("Cassandra refused to make {target}: {}", error.detail),
            )
            .at("outputs")
            .help(format!("the statement was: {}", error.cql));
            return invalid(status, &[problem]);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Decision::Status(Box::new(status)))
}

async fn target_id_now(store: &Store, target: &TableName) -> Result<Option<uuid::Uuid>, Failure> {
    let live = store.table(target).await?;
    Ok(live.map(|live| live.id).or_else(|| Some(target_id(target))))
}

fn failed_expectations(old: &JobStatus, new: &JobStatus) -> bool {
    old.state == JobState::Invalid
        && old.fingerprint.is_some()
        && old.fingerprint == new.fingerprint
        && old.manifest_sha256 == new.manifest_sha256
        && old.source_id == new.source_id
        && old.expect_digest == new.expect_digest
        && !old.problems.is_empty()
        && old
            .problems
            .iter()
            .all(|line| line.starts_with(EXPECT_DIFFERS))
}
