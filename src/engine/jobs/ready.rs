//! The revision of a job that runs use: the newest one that is ready.

use super::tamper::{altered, is_altered, tampered};
use crate::{
    domain::{job::manifest::Manifest, names::nearest, problem::Problem},
    failure::{Exit, Failure},
    store::{
        Store,
        driver::error::StoreError,
        jobs::{JobRow, JobState, JobStatus},
    },
};

/// The newest ready revision of a job.
#[derive(Debug, Clone)]
pub struct ReadyRevision {
    /// The answer to it.
    pub status: JobStatus,
    /// The answer to the job's newest revision, if it has one.
    pub newest: Option<JobStatus>,
    pub manifest: Manifest,
    /// Whether the job is paused, so that no run of it starts automatically.
    pub paused: bool,
}

/// Why a job cannot be used.
#[derive(Debug)]
pub enum NotReady {
    /// The answer to its ready revision no longer holds.
    Outdated {
        /// What the answer should be.
        now: Box<JobStatus>,
        failure: Failure,
    },
    /// Anything else.
    Failed(Failure),
}

impl From<NotReady> for Failure {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::Outdated { failure, .. } | NotReady::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for NotReady {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for NotReady {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl ReadyRevision {
    /// Finds the revision; writes nothing.
    ///
    /// # Errors
    /// The job does not exist (exit 5); it was deleted, or has no ready revision (exit 2, all
    /// problems); the ready revision was altered; errors of Cassandra.
    pub async fn find(store: &Store, job: &str) -> Result<Self, NotReady> {
        let rows = existing(store, job).await?;
        let statuses = store.job_statuses(job).await?;
        let answered = |row: &JobRow| {
            let mut statuses = statuses.iter();
            statuses.find(|status| Some(status.revision) == row.revision)
        };
        let newest = rows.iter().find(|row| row.revision.is_some());
        let newest = newest.and_then(answered);
        let mut ready = statuses.iter();
        let ready = ready.find(|status| status.state == JobState::Ready);
        let found = ready.and_then(|ready| {
            let mut rows = rows.iter();
            let row = rows.find(|row| row.revision == Some(ready.revision))?;
            Some((ready, row))
        });
        let Some((status, row)) = found else {
            return Err(match newest {
                Some(status) => refused(status),
                None => unanswered(job),
            }
            .into());
        };
        if is_altered(row, status) {
            return Err(NotReady::Outdated {
                now: Box::new(tampered(status)),
                failure: Failure::input(altered(job, status.revision)),
            });
        }
        Ok(Self {
            manifest: stored_manifest(row).map_err(Failure::inputs)?,
            paused: rows.iter().any(|row| row.paused == Some(true)),
            newest: newest.cloned(),
            status: status.clone(),
        })
    }
}

/// Returns the revision that [`ReadyRevision::find`] would find, without its manifest; `None` if there is
/// none.
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

/// Parses the manifest of a row, and checks that it is about that row.
///
/// # Errors
/// Everything that is wrong with it.
pub fn stored_manifest(row: &JobRow) -> Result<Manifest, Vec<Problem>> {
    let Some(text) = &row.manifest else {
        return Err(vec![Problem::new(
            "job.manifest",
            "the row has no manifest",
        )]);
    };
    let manifest = Manifest::parse(text)?;
    let mut problems = Vec::new();
    if manifest.job != row.job {
        problems.push(
            Problem::new(
                "job.manifest",
                format!(
                    "the manifest is of job `{}`, the row of `{}`",
                    manifest.job, row.job
                ),
            )
            .at("job"),
        );
    }
    if let Some(expect) = &manifest.expect
        && expect.rows.is_none()
        && expect.file.is_some()
    {
        problems.push(
            Problem::new(
                "job.manifest",
                "a stored manifest holds its expected rows, not the name of a file",
            )
            .at("expect")
            .help("`helenus job create` takes the file in; by CQL, write rows = \"\"\"…\"\"\""),
        );
    }
    match problems.is_empty() {
        true => Ok(manifest),
        false => Err(problems),
    }
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

fn unanswered(job: &str) -> Failure {
    Failure::input(
        Problem::new(
            "job.unanswered",
            format!("job `{job}` waits for a version that admission has yet to decide about"),
        )
        .help("a running worker admits it, or `helenus worker --once` does"),
    )
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
