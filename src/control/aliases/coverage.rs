//! Checks, before an alias moves, what the version covers of each job that follows the alias, and
//! opens the runs that score the rest.
//!
//! A run that was opened for a request has an id derived from the request's id and from the number
//! of the alias's last change. So a process that crashes at any point loses nothing, and the run of
//! a request whose alias was moved meanwhile is recognised.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::understand::Mode;
use crate::{
    control::planning,
    domain::{
        job::manifest::{Manifest, VersionWish},
        model::alias::{CHAMPION, Change, PREVIOUS},
        problem::Problem,
        rounding,
        run::{
            Part, Run, RunState, Scope,
            coverage::{Coverage, Head},
            run_id,
        },
    },
    engine::run::plan::RunSpec,
    failure::Exit,
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
    heads: Vec<Head>,
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
    if Mode::of(request) != Ok(Mode::WhenCovered) {
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

/// The alias change that a request asks for.
pub(super) struct Move<'a> {
    pub request: &'a AliasRequest,
    pub model: &'a str,
    pub alias: &'a str,
    /// The last change; `None`: the alias is new.
    pub from: Option<&'a Change>,
    pub to: i32,
}

/// Whether the alias may move.
pub(super) enum Gate {
    Open(Passed),
    Shut(Problem),
    /// The alias waits for runs; these must be opened first.
    Wait(Vec<DueRun>),
}

/// Evidence on which the alias may move.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub evidence: Option<String>,
    /// The run that covers the first of the jobs.
    pub run_id: Option<Uuid>,
}

/// A run that must be opened.
#[derive(Debug)]
pub(super) struct DueRun {
    job: String,
    version: i32,
    cause: String,
    /// Where the aliases will point: the run's rows must be those of the version under its new
    /// name.
    pointing: BTreeMap<String, i32>,
    note: String,
}

pub(super) async fn gate(store: &Store, to: &Move<'_>, mode: Mode) -> Result<Gate, StoreError> {
    // An alias that does not exist has no readers.
    let Some(last) = to.from else {
        return Ok(Gate::Open(Passed::default()));
    };
    let request = Some(to.request);
    let followers = followers(store, to.model, to.alias, to.to, request).await?;
    if followers.is_empty() {
        return Ok(Gate::Open(Passed::default()));
    }
    match mode {
        Mode::Now => {
            let told: Vec<String> = followers.iter().map(Follower::told).collect();
            Ok(Gate::Open(Passed {
                evidence: Some(format!("moved at once; {}", told.join("; "))),
                run_id: None,
            }))
        }
        Mode::Full => Ok(match not_covered(to.model, to.to, &followers) {
            Some(problem) => Gate::Shut(problem),
            None => Gate::Open(passed(&followers)),
        }),
        Mode::WhenCovered => Ok(when_covered(to, last, &followers)),
    }
}

/// Returns why an alias must not move to a version yet, or `None` if the version covers all jobs
/// that follow.
pub fn not_covered(model: &str, version: i32, followers: &[Follower]) -> Option<Problem> {
    let lacking: Vec<String> = followers
        .iter()
        .filter(|follower| !follower.coverage.is_full())
        .map(Follower::told)
        .collect();
    (!lacking.is_empty()).then(|| {
        Problem::new(
            "alias.not_covered",
            format!(
                "readers would miss predictions of version {version} of `{model}`: {}",
                lacking.join("; ")
            ),
        )
        .help("coverage `when_covered` (--when-covered) scores the rest first, then moves; `now` (--now) moves at once")
    })
}

fn passed(followers: &[Follower]) -> Passed {
    let runs: Vec<(&str, Uuid)> = followers
        .iter()
        .filter_map(|one| Some((one.job.as_str(), one.coverage.run.as_ref()?.run_id)))
        .collect();
    let told: Vec<String> = runs
        .iter()
        .map(|(job, run)| format!("run {run} of job `{job}`"))
        .collect();
    Passed {
        evidence: Some(format!("covered by {}", told.join(", "))),
        run_id: runs.first().map(|(_, run)| *run),
    }
}

fn when_covered(to: &Move<'_>, last: &Change, followers: &[Follower]) -> Gate {
    let cause = format!("{}/{}", to.request.id, last.seq);
    let mut dues = Vec::new();
    let mut waits = false;
    for follower in followers {
        let mut heads = follower.heads.iter();
        let ours = heads.find(|head| head.request_id == Some(to.request.id));
        let Some(ours) = ours else {
            match (follower.coverage.is_full(), follower.coverage.obstacle) {
                (true, _) => {}
                // The open run may score exactly that, and it blocks a run that would.
                (false, Some((_, state))) if !state.is_terminal() => waits = true,
                (false, _) => dues.push(due(to, follower, &cause)),
            }
            continue;
        };
        if ours.run_id != run_id::derive(&follower.job, &cause, ticks(to.request)) {
            return Gate::Shut(
                Problem::new(
                    "alias.moved",
                    format!(
                        "alias `{}` was moved while run {} of job `{}` scored for this request",
                        to.alias, ours.run_id, follower.job
                    ),
                )
                .help("ask again if it is still wanted"),
            );
        }
        match (
            ours.state,
            &follower.coverage.run,
            follower.coverage.obstacle,
        ) {
            (RunState::Succeeded, Some(_), None) => {}
            (RunState::Succeeded, Some(_), Some((run, state))) => {
                return Gate::Shut(Problem::new(
                    "alias.not_covered",
                    format!(
                        "run {} of job `{}` succeeded, and a newer one of that version is {state}: {run}",
                        ours.run_id, follower.job
                    ),
                ));
            }
            (RunState::Succeeded, None, _) => {
                return Gate::Shut(
                    Problem::new(
                        "alias.not_covered",
                        format!(
                            "job `{}` was changed while run {} scored for this request",
                            follower.job, ours.run_id
                        ),
                    )
                    .help("ask again"),
                );
            }
            (state, ..) if state.is_terminal() => {
                return Gate::Shut(
                    Problem::new(
                        "alias.not_covered",
                        format!("run {} of job `{}` {state}", ours.run_id, follower.job),
                    )
                    .help("its row in `runs` says why"),
                );
            }
            _ => waits = true,
        }
    }
    match waits || !dues.is_empty() {
        true => Gate::Wait(dues),
        false => Gate::Open(passed(followers)),
    }
}

fn ticks(request: &AliasRequest) -> u64 {
    // Rounded down to microseconds, like a run's due time.
    run_id::time_100ns(request.id).unwrap_or(0) / 10 * 10
}

fn due(to: &Move<'_>, follower: &Follower, cause: &str) -> DueRun {
    let mut pointing = BTreeMap::from([(to.alias.to_owned(), to.to)]);
    if to.alias == CHAMPION
        && let Some(last) = to.from
    {
        pointing.insert(PREVIOUS.to_owned(), last.to);
    }
    DueRun {
        job: follower.job.clone(),
        version: to.to,
        cause: cause.to_owned(),
        pointing,
        note: format!(
            "so that `{}` of `{}` can move to version {}",
            to.alias, to.model, to.to
        ),
    }
}

/// Opens the run, or finds it open. Returns the reason if it cannot be opened and a retry would not
/// help.
///
/// # Errors
/// Errors of Cassandra. Temporary failures are left for the next round.
pub(super) async fn open_run(
    store: &Store,
    request: &AliasRequest,
    due: &DueRun,
) -> Result<Option<Problem>, StoreError> {
    let micros = i64::try_from(ticks(request) / 10).unwrap_or_default();
    let wish = RunSpec {
        job: due.job.clone(),
        scope: Scope {
            rewrite: false,
            refresh: false,
            part: Part::Whole,
        },
        versions: Some([due.version].into()),
        trigger: "alias".to_owned(),
        cause: due.cause.clone(),
        due_at: DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default(),
        request_id: Some(request.id),
        requested_by: request.requested_by.clone(),
        note: Some(due.note.clone()),
        priority: 0,
        max_rows_per_s: None,
        deadline: None,
        after: None,
    };
    match Box::pin(planning::plan_pointing(store, &wish, &due.pointing)).await {
        Ok(_) => Ok(None),
        Err(failure) if failure.is_retryable() || failure.exit == Exit::Conflict => {
            tracing::info!(job = due.job, request = %request.id, %failure, "no run for an alias yet");
            Ok(None)
        }
        Err(failure) => {
            let reasons: Vec<String> = failure.problems.iter().map(Problem::line).collect();
            Ok(Some(Problem::new(
                "alias.not_covered",
                format!(
                    "job `{}` can't score version {}: {}",
                    due.job,
                    due.version,
                    reasons.join("; ")
                ),
            )))
        }
    }
}

impl Follower {
    /// Describes the coverage for users, in one line.
    pub fn told(&self) -> String {
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
