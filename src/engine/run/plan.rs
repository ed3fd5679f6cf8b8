//! Turns a request into a run whose splits can be claimed.
//!
//! Each step may be repeated, by the same process or another. The run's id is derived from the
//! request, and one conditional batch takes the table. The run's row is inserted once, and its plan
//! is written once. If a planner crashes, the next process that answers the request resumes where
//! it stopped.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use uuid::Uuid;

use super::{
    base::{let_others_go_on, take_base},
    close, current, heartbeat,
    place::{self, PLANNER_VANISHED, Taken, check_clock},
    share::{began_after, ended_since},
    source,
};
use crate::{
    codec::ring::{self, TokenRange},
    domain::{
        job::{CompiledJob, compile::is_unproven},
        problem::Problem,
        run::{Part, Plan, Run, RunState, Scope, run_id},
    },
    engine::{
        forecast,
        jobs::{self, PreparedJob},
    },
    failpoint,
    failure::Failure,
    scorer::runtime,
    store::{Store, admin::signals::OPEN_RUNS, runs::open_runs::OpenRun},
};

/// Approximate number of rows of a split.
const SPLIT_ROWS: u64 = 25_000;
/// Maximum number of splits of a run; the configuration sets the minimum.
const MOST_SPLITS: u64 = 10_000;
/// How often the last step of planning is sent while it is not applied.
const START_TRIES: u32 = 5;

/// A request for a run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    pub job: String,
    /// Which rows to score.
    pub scope: Scope,
    /// Restricts the run to these of the job's versions.
    pub versions: Option<BTreeSet<i32>>,
    /// `request`, or the trigger's name.
    pub trigger: String,
    /// The request's id, or the trigger's name. The run's id is derived from it and `due_at`.
    pub cause: String,
    /// When the run is due.
    pub due_at: DateTime<Utc>,
    /// The id of the request, if there is one.
    pub request_id: Option<Uuid>,
    /// Who asked for the run.
    pub requested_by: Option<String>,
    /// The requester's note.
    pub note: Option<String>,
    /// Higher priorities run first; the default is 0.
    pub priority: i32,
    /// Limit on rows per second.
    pub max_rows_per_s: Option<i32>,
    /// The time after which the run counts as late.
    pub deadline: Option<DateTime<Utc>>,
    /// The base of a run that was open with the same scope when this run was requested. A run
    /// planned after the end of that one began after the request, whatever the clocks show.
    pub after: Option<i64>,
}

impl RunSpec {
    /// Returns the id of the run.
    pub fn run_id(&self) -> Uuid {
        let ticks = self.due_at.timestamp_micros().max(0) as u64 * 10;
        run_id::derive(&self.job, &self.cause, ticks)
    }
}

/// Why a run failed whose planner found its place taken by another run.
const LOST_PLACE: &str = "it lost its place in open_runs while it was planned";

/// The outcome of planning a request.
#[derive(Debug)]
pub enum Planned {
    /// A new run was opened for the request, or exists already from an earlier attempt.
    Opened(Box<Run>),
    /// A run does the same and began after the request, so it reads every row as it was then, or
    /// newer. It may have ended already.
    Joined(Box<Run>),
    /// An open run does the same, but may have passed rows that changed before the request. The
    /// request must be planned again when that run has ended.
    Behind(Box<Run>),
}

/// Returns the run of a request that was planned already.
///
/// # Errors
/// Cassandra's errors.
pub async fn planned_before(store: &Store, wish: &RunSpec) -> Result<Option<Run>, Failure> {
    let run = store.run(&wish.job, wish.run_id()).await?;
    Ok(run.filter(|run| run.state != RunState::Planning))
}

/// Opens and plans the run that `wish` asks for, or finds the open run that does the same.
///
/// # Errors
/// Wrong input, a conflict with an open run, a clock that is off, or Cassandra's errors.
pub async fn plan(
    store: &Store,
    wish: &RunSpec,
    mut prepared: PreparedJob,
) -> Result<Planned, Failure> {
    let run_id = wish.run_id();
    if wish.scope.refresh {
        let allocation = store.allocation_now(&wish.job).await?.allocation;
        current::only_served(&mut prepared, allocation.as_ref())?;
    }
    if let Part::Keys(keys) = &wish.scope.part {
        source::asked_keys(&prepared.job, keys).map_err(Failure::inputs)?;
    }
    // A version may be new to the job because an alias moved to it.
    jobs::prove_order(store, &prepared).await?;
    let versions: BTreeSet<i32> = prepared
        .job
        .versions
        .iter()
        .map(|version| version.ready.version)
        .collect();
    if let Some(same) = open(store, wish, &prepared, &versions, run_id).await? {
        return Ok(match began_after(&same, wish) {
            true => Planned::Joined(Box::new(same)),
            false => Planned::Behind(Box::new(same)),
        });
    }
    failpoint::hit("after_open");
    store.refresh_open_run(&wish.job, &versions, run_id).await?;
    let opened = store.open_runs(&wish.job).await?;
    let give_back = || place::give_back(store, &wish.job, &versions, run_id);
    if let Some(ended) = ended_since(store, wish, prepared.revision, &versions, &opened).await? {
        give_back().await?;
        return Ok(Planned::Joined(Box::new(ended)));
    }
    if let Err(problem) = check_clock(&opened, run_id) {
        give_back().await?;
        return Err(Failure::system(problem));
    }
    store
        .insert_run(&new_run(store, wish, &prepared, &versions, run_id))
        .await?;
    failpoint::hit("after_insert_run");
    let place = (wish.job.as_str(), &versions, run_id);
    let started = Box::pin(start(store, wish, &prepared, &versions, run_id));
    let run = match heartbeat::beating(store, place, started).await {
        Some(run) => run?,
        None => planned_by_others(store, &wish.job, run_id).await?,
    };
    failpoint::hit("after_start");
    if let Err(error) = store.raise(OPEN_RUNS).await {
        tracing::warn!(%error, "workers will find the run later than they could");
    }
    Ok(Planned::Opened(Box::new(run)))
}

fn new_run(
    store: &Store,
    wish: &RunSpec,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Run {
    let job = &prepared.job;
    let sha256 = job.versions.iter().map(|version| {
        let ready = &version.ready;
        (ready.version, ready.admitted.sha256.to_vec())
    });
    Run {
        job_revision: prepared.revision,
        versions: versions.clone(),
        aliases: prepared.aliases.clone(),
        model_sha256: sha256.collect(),
        scope: wish.scope.clone(),
        source: format!("{}.{}", job.source.keyspace, job.source.table),
        source_version: job.source_version,
        target: format!("{}.{}", job.target.keyspace, job.target.table),
        trigger: wish.trigger.clone(),
        request_id: wish.request_id,
        requested_by: wish.requested_by.clone(),
        note: wish.note.clone(),
        priority: wish.priority,
        max_rows_per_s: wish.max_rows_per_s,
        deadline: wish.deadline,
        runtime_version: runtime_version(store),
        ..Run::planning(&wish.job, run_id, wish.due_at)
    }
}

/// Returns `None` if the library can't be loaded: this process then only plans, and others score.
fn runtime_version(store: &Store) -> Option<String> {
    let runtime = runtime::load(store.config().onnxruntime.as_deref()).ok()?;
    Some(runtime.version.clone())
}

/// Takes the job's versions for this run. Returns `Some` if another run holds them and does the
/// same.
async fn open(
    store: &Store,
    wish: &RunSpec,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<Option<Run>, Failure> {
    let judge = |run: Run| {
        async move {
            let same = run.scope == wish.scope
                && run.versions == *versions
                && run.job_revision == prepared.revision;
            match (same, run.state) {
                (true, RunState::Planning) => {
                    let started = start(store, wish, prepared, versions, run.run_id).await?;
                    Ok(Some(started))
                }
                (true, _) => Ok(Some(run)),
                (false, RunState::Planning) => Ok(None),
                (false, _) => Err(conflict(&run)),
            }
        }
        .boxed()
    };
    match place::take(store, &wish.job, versions, run_id, judge).await? {
        Taken::Instead(run) => Ok(Some(run)),
        // The keys were read before that run erased an entity, so they may name it.
        Taken::Mine { forgot: Some(run) } if matches!(wish.scope.part, Part::Keys(_)) => {
            place::give_back(store, &wish.job, versions, run_id).await?;
            Err(forgotten_meanwhile(&run))
        }
        Taken::Mine { .. } => Ok(None),
    }
}

fn conflict(run: &Run) -> Failure {
    let versions: Vec<_> = run.versions.iter().map(i32::to_string).collect();
    Failure::conflict(
        Problem::new(
            "run.conflict",
            format!(
                "run {} of job `{}` is open over scope `{}`, versions {}, revision {}: it must end first",
                run.run_id,
                run.job,
                run.scope.as_str(),
                versions.join(", "),
                run.job_revision,
            ),
        )
        .help(format!(
            "`helenus run show {} {}` follows it, `helenus run cancel {} {}` ends it",
            run.job, run.run_id, run.job, run.run_id
        )),
    )
}

fn forgotten_meanwhile(run: &Run) -> Failure {
    let message = format!(
        "run {} of job `{}` erased an entity while this run over keys waited for it",
        run.run_id, run.job
    );
    Failure::conflict(
        Problem::new("run.conflict", message).help("ask again, without the key that was erased"),
    )
}

/// Moves a run from `planning` to `running`, with its base and plan.
async fn start(
    store: &Store,
    wish: &RunSpec,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<Run, Failure> {
    let guarded = forecast::guard(store, &prepared.job, &wish.scope, run_id);
    let (stopped, mut warnings) = match guarded.await {
        Ok(stopped) => (stopped, Vec::new()),
        Err(why) => (None, vec![format!("guard_unread: {why}")]),
    };
    // An unproven order is reported with the version and the job, not repeated with each run.
    let lasting = prepared.job.warnings.iter();
    warnings.extend(lasting.filter(|warning| !is_unproven(warning)).cloned());
    if let Some(reason) = &stopped {
        // No worker can have claimed a split yet, unless another planner found no reason to stop.
        if let Some(run) = store.run(&wish.job, run_id).await?
            && run.state == RunState::Planning
        {
            close::fail(store, &run, reason).await?;
        }
    }
    // Runs over other versions may write the same rows of the table of current predictions.
    let others = |others: &[OpenRun]| {
        let has_current = prepared.job.target.current.is_some();
        has_current.then(|| current::newest_base(others)).flatten()
    };
    while stopped.is_none()
        && let Some(taken) = take_base(store, &wish.job, versions, run_id, others).await?
    {
        let base = taken.base;
        failpoint::hit("after_base");
        let (current, allocation) = match current::plan(store, prepared, &wish.scope).await {
            Err(failure) if failure.is(current::OUTDATED) => {
                if let Some(run) = store.run(&wish.job, run_id).await? {
                    close::fail(store, &run, &failure.to_string()).await?;
                }
                return Err(failure);
            }
            known => known?,
        };
        // A run with a higher base may have read an earlier champion, and its writes would win
        // against this run's.
        if current.is_some() && !current::is_newest(store, &wish.job, run_id, base).await? {
            let_others_go_on().await;
            continue;
        }
        let plan = Plan {
            splits: splits(store, &prepared.job, &wish.scope.part).await?,
            unfinished: taken.unfinished(),
        };
        failpoint::hit("during_planning");
        for _ in 0..START_TRIES {
            let run = (wish.job.as_str(), run_id);
            let allocation = allocation.as_ref();
            let started = store.start_run(run, base, current, allocation, &plan, &warnings);
            // Another planner was first, or the outcome is unknown: the run's row shows which.
            if started.await? || !is_in_planning(store, &wish.job, run_id).await? {
                break;
            }
        }
        break;
    }
    let run = store.run(&wish.job, run_id).await?;
    if let Some(run) = &run
        && run.state == RunState::Planning
    {
        close::fail(store, run, LOST_PLACE).await?;
    }
    planned(run, run_id)
}

/// Returns a run whose place this planner lost: another process planned it, or took this planner
/// for dead.
async fn planned_by_others(store: &Store, job: &str, run_id: Uuid) -> Result<Run, Failure> {
    planned(store.run(job, run_id).await?, run_id)
}

/// Returns the run if its planning has ended, by whichever process. A run that failed because its
/// planner was taken for dead was never planned: whether that planner or its successor wrote so
/// first must not decide the answer.
fn planned(run: Option<Run>, run_id: Uuid) -> Result<Run, Failure> {
    let never = |run: &Run| {
        let reason = run.reason.as_deref();
        run.state == RunState::Failed
            && [Some(LOST_PLACE), Some(PLANNER_VANISHED)].contains(&reason)
    };
    run.filter(|run| run.state != RunState::Planning && !never(run))
        .ok_or_else(|| {
            let message = format!("run {run_id} lost its place in open_runs while it was planned");
            Failure::system(Problem::new("run.lost_place", message).help("ask again"))
        })
}

async fn is_in_planning(store: &Store, job: &str, run_id: Uuid) -> Result<bool, Failure> {
    let run = store.run(job, run_id).await?;
    Ok(run.is_some_and(|run| run.state == RunState::Planning))
}

/// Returns the splits of a part of `job`'s source: more for larger tables, never across replica
/// boundaries of the ring.
pub async fn splits(
    store: &Store,
    job: &CompiledJob,
    part: &Part,
) -> Result<Vec<Option<TokenRange>>, Failure> {
    let range = match part {
        Part::Keys(_) => return Ok(vec![None]),
        Part::Whole => TokenRange::WHOLE,
        Part::Range(range) => *range,
    };
    let source = &job.source;
    let rows = store
        .estimated_partitions(&source.keyspace, &source.table)
        .await?
        .unwrap_or(0);
    let share = range.width() as f64 / u64::MAX as f64;
    let least = store.config().min_splits as u64;
    let count = ((rows / SPLIT_ROWS).clamp(least, MOST_SPLITS) as f64 * share).ceil() as usize;
    let cuts = store.replica_cuts(&job.target.keyspace);
    Ok(ring::split(range, &cuts, count)
        .into_iter()
        .map(Some)
        .collect())
}
