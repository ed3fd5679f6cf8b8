//! Finds the jobs that follow an alias, and what their newest runs scored.

use futures::{StreamExt, TryStreamExt};

use super::understand::Mode;
use crate::{
    domain::{
        job::manifest::{Manifest, VersionWish},
        rounding,
        run::{
            Run,
            coverage::{Coverage, Head},
            run_id,
        },
    },
    store::{
        Store,
        driver::error::StoreError,
        jobs::{JobState, JobStatus},
        registry::alias_requests::AliasRequest,
    },
};

/// Runs of a job that are read per page, as small rows, until older ones cannot change anything.
const RUNS: i32 = 200;
/// Jobs that are read concurrently.
const AT_A_TIME: usize = 8;

/// A job whose manifest names the alias.
#[derive(Debug, Clone)]
pub struct Follower {
    pub job: String,
    /// Coverage of the version that the alias is to point to.
    pub coverage: Coverage,
    /// The job's newest runs.
    pub(super) heads: Vec<Head>,
}

/// Returns the jobs that follow an alias, how far each has scored `version`, and the runs that were
/// opened for `request`. Reads the jobs' newest runs, but no predictions.
///
/// # Errors
/// Errors of Cassandra.
pub async fn followers(
    store: &Store,
    model: &str,
    alias: &str,
    version: i32,
    request: Option<&AliasRequest>,
) -> Result<Vec<Follower>, StoreError> {
    let jobs = jobs_naming(store, model, alias).await?;
    futures::stream::iter(jobs)
        .map(|job| async move {
            let is_enough = |heads: &[Head]| {
                Coverage::is_known(version, heads)
                    && request.is_none_or(|request| reaches(heads, request))
            };
            let heads = heads(store, &job, is_enough).await?;
            Ok(Follower {
                coverage: Coverage::compute(version, &heads),
                job: job.job,
                heads,
            })
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

/// A job that names an alias in its `versions`.
pub(super) struct Naming {
    pub job: String,
    /// Whether the job's manifest has expected rows.
    pub expects: bool,
    /// The job status that runs use.
    used: JobStatus,
    statuses: Vec<JobStatus>,
}

impl Naming {
    /// Returns the revision that runs use.
    pub fn revision(&self) -> i32 {
        self.used.revision
    }
}

/// Returns the jobs of a model that name an alias, without deleted ones and those that never could
/// run.
pub(super) async fn jobs_naming(
    store: &Store,
    model: &str,
    alias: &str,
) -> Result<Vec<Naming>, StoreError> {
    let names = store.job_names().await?;
    let found: Vec<Option<Naming>> = futures::stream::iter(names)
        .map(|job| naming(store, model, alias, job))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

async fn naming(
    store: &Store,
    model: &str,
    alias: &str,
    job: String,
) -> Result<Option<Naming>, StoreError> {
    let statuses = store.job_statuses(&job).await?;
    let of = |state: JobState| {
        let mut of_model = statuses.iter();
        of_model.find(|one| one.state == state && one.model.as_deref() == Some(model))
    };
    // Readers of a job whose source has changed read the predictions that it wrote before.
    let Some(used) = of(JobState::Ready).or_else(|| of(JobState::SourceChanged)) else {
        return Ok(None);
    };
    let used = used.clone();
    let rows = store.job_rows(&job).await?;
    if rows.iter().any(|row| row.deleted == Some(true)) {
        return Ok(None);
    }
    let row = rows.iter().find(|row| row.revision == Some(used.revision));
    let manifest = row.and_then(|row| Manifest::parse(row.manifest.as_deref()?).ok());
    let wish = VersionWish::Alias(alias.to_owned());
    Ok(manifest
        .filter(|manifest| manifest.versions.contains(&wish))
        .map(|manifest| Naming {
            job,
            expects: manifest.expect.is_some(),
            used,
            statuses,
        }))
}

/// Returns the job's runs, newest first, until `is_enough`.
async fn heads(
    store: &Store,
    job: &Naming,
    is_enough: impl Fn(&[Head]) -> bool,
) -> Result<Vec<Head>, StoreError> {
    let fits = |revision: i32, target: &str| {
        let mut statuses = job.statuses.iter();
        let then = statuses.find(|status| status.revision == revision);
        let same = then.is_some_and(|then| then.fingerprint == job.used.fingerprint);
        (revision == job.used.revision || same) && job.used.target.as_deref() == Some(target)
    };
    let mut heads: Vec<Head> = Vec::new();
    loop {
        let before = heads.last().map(|head| head.run_id);
        let page = store.run_heads(&job.job, before, RUNS, fits).await?;
        let is_last = page.len() < RUNS as usize;
        heads.extend(page);
        if is_last || is_enough(&heads) {
            return Ok(heads);
        }
    }
}

/// Returns whether the runs reach back to the time of a request, and so include those opened for
/// it.
fn reaches(heads: &[Head], request: &AliasRequest) -> bool {
    let oldest = heads
        .last()
        .and_then(|head| run_id::time_100ns(head.run_id));
    oldest.is_some_and(|oldest| oldest < ticks(request))
}

/// Returns the runs that were opened for a request, whether they have ended or not.
///
/// # Errors
/// Errors of Cassandra.
pub async fn runs_of(store: &Store, request: &AliasRequest) -> Result<Vec<Run>, StoreError> {
    let (Some(model), Some(alias)) = (&request.model, &request.alias) else {
        return Ok(Vec::new());
    };
    if Mode::from_request(request) != Ok(Mode::WhenCovered) {
        return Ok(Vec::new());
    }
    let mut runs = Vec::new();
    for job in jobs_naming(store, model, alias).await? {
        for head in heads(store, &job, |heads| reaches(heads, request)).await? {
            if head.request_id == Some(request.id) {
                runs.extend(store.run(&job.job, head.run_id).await?);
            }
        }
    }
    Ok(runs)
}

/// Returns the time in the request's id, as the due time of its runs has it.
pub(super) fn ticks(request: &AliasRequest) -> u64 {
    // Rounded down to microseconds, like a run's due time.
    run_id::time_100ns(request.id).unwrap_or(0) / 10 * 10
}

impl Follower {
    /// Describes the coverage for users, in one line.
    pub fn describe(&self) -> String {
        let coverage = &self.coverage;
        let mut said = match &coverage.run {
            None => format!("job `{}` never scored it over the whole table", self.job),
            Some(run) => format!(
                "job `{}`: {} % of {} rows, as run {} read them{}",
                self.job,
                rounding::percent(coverage.percent() / 100.0),
                run.source_rows,
                run.run_id,
                run.started_at
                    .map(|at| format!(" at {}", at.format("%F %T UTC")))
                    .unwrap_or_default()
            ),
        };
        if coverage.changed > 0 {
            said.push_str(&format!(", {} found changed since", coverage.changed));
        }
        if let Some((run, state)) = coverage.obstacle {
            said.push_str(&format!("; run {run} of it is {state}"));
        }
        said
    }
}
