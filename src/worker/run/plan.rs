//! From a wish to a run whose splits may be claimed.
//!
//! Each step may be repeated, by the same process or another: the run's id is derived from the
//! wish, the table is taken by one conditional batch, the run's row is inserted once, and its plan
//! written once. If a planner dies, whoever answers the wish again goes on from where it stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{close, current, source};
use crate::{
    domain::{
        job::CompiledJob,
        lease::{Seen, Watch},
        problem::Problem,
        ring::{self, TokenRange},
        run::{Part, Plan, Run, RunState, Scope},
        run_id,
    },
    failpoint,
    failure::Failure,
    process::boot_time,
    scorer::runtime,
    store::{
        Store,
        open_runs::{OpenRun, Opened},
        signals::OPEN_RUNS,
    },
    worker::{
        clock,
        jobs::{self, PreparedJob},
    },
};

/// Rows of a split, about.
const SPLIT_ROWS: u64 = 25_000;
/// Splits of a run, at most; the configuration says how many at least.
const MOST_SPLITS: u64 = 10_000;
/// Epochs take up 2 microseconds each, up to 1,000 of them.
pub(in crate::worker) const BASE_GAP_US: i64 = 10_000;
/// How often the last step of planning is sent while it does not arrive.
const START_TRIES: u32 = 5;

/// Somebody's wish for a run.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The job.
    pub job: String,
    /// Which rows.
    pub scope: Scope,
    /// Only these of the job's versions.
    pub versions: Option<BTreeSet<i32>>,
    /// `request`, or the trigger's name.
    pub trigger: String,
    /// With `due_at`, what the run's id is derived from: the request's id, or the trigger's name.
    pub cause: String,
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// The request.
    pub request_id: Option<Uuid>,
    /// Who asked.
    pub requested_by: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// Higher ones first; 0 is usual.
    pub priority: i32,
    /// Limit on rows a second.
    pub max_rows_per_s: Option<i32>,
    /// After this the run counts as late.
    pub deadline: Option<DateTime<Utc>>,
}

/// What a wish came to.
#[derive(Debug)]
pub enum Planned {
    /// A run of its own.
    Opened(Box<Run>),
    /// An open run that does the same.
    Joined(Box<Run>),
}

/// Opens and plans the run that `wish` asks for, or finds the open run that does the same.
///
/// # Errors
/// Why not: wrong input, a conflict with an open run, a clock that is off, Cassandra.
pub async fn plan(store: &Store, wish: &Wish) -> Result<Planned, Failure> {
    plan_pointing(store, wish, &BTreeMap::new()).await
}

/// As [`plan`], as if these aliases of the job's model pointed there.
///
/// # Errors
/// As [`plan`].
pub async fn plan_pointing(
    store: &Store,
    wish: &Wish,
    pointing: &BTreeMap<String, i32>,
) -> Result<Planned, Failure> {
    let ticks = wish.due_at.timestamp_micros().max(0) as u64 * 10;
    let run_id = run_id::derive(&wish.job, &wish.cause, ticks);
    if let Some(run) = store.run(&wish.job, run_id).await?
        && run.state != RunState::Planning
    {
        return Ok(Planned::Opened(Box::new(run)));
    }
    let mut prepared =
        jobs::prepare_pointing(store, &wish.job, wish.versions.as_ref(), pointing).await?;
    if wish.scope.refresh {
        current::only_champion(&mut prepared)?;
    }
    if let Part::Keys(keys) = &wish.scope.part {
        source::asked_keys(&prepared.job, keys).map_err(Failure::inputs)?;
    }
    let versions: BTreeSet<i32> = prepared
        .job
        .versions
        .iter()
        .map(|version| version.ready.version)
        .collect();
    if let Some(joined) = open(store, wish, &prepared, &versions, run_id).await? {
        return Ok(Planned::Joined(Box::new(joined)));
    }
    failpoint::hit("after_open");
    store.refresh_open_run(&wish.job, &versions, run_id).await?;
    let opened = store.open_runs(&wish.job).await?;
    if let Err(problem) = check_clock(&opened, run_id) {
        // Nothing was written under it.
        store
            .free_open_run(&wish.job, run_id, None, &unused(&versions))
            .await?;
        return Err(Failure::system(problem));
    }
    store
        .insert_run(&new_run(store, wish, &prepared, &versions, run_id))
        .await?;
    failpoint::hit("after_insert_run");
    let run = start(store, wish, &prepared, &versions, run_id).await?;
    failpoint::hit("after_start");
    if let Err(error) = store.raise(OPEN_RUNS).await {
        tracing::warn!(%error, "workers will find the run later than they could");
    }
    Ok(Planned::Opened(Box::new(run)))
}

fn new_run(
    store: &Store,
    wish: &Wish,
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

/// `None` where the library can't be loaded: then this process plans and others score.
fn runtime_version(store: &Store) -> Option<String> {
    let runtime = runtime::load(store.config().onnxruntime.as_deref()).ok()?;
    Some(runtime.version.clone())
}

/// Takes the job's versions. `Some`: another run holds them and does the same.
async fn open(
    store: &Store,
    wish: &Wish,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<Option<Run>, Failure> {
    let mut watch: Option<(Uuid, Watch)> = None;
    loop {
        let holder = match store.open_run(&wish.job, versions, run_id).await? {
            Opened::Mine => return Ok(None),
            Opened::HeldBy(holder) => holder,
        };
        let run = store.run(&wish.job, holder).await?;
        match &run {
            Some(run) if run.state.is_terminal() => {
                close::free(store, run).await?;
                continue;
            }
            Some(run) => {
                let same = run.scope == wish.scope
                    && run.versions == *versions
                    && run.job_revision == prepared.revision;
                match (same, run.state) {
                    (true, RunState::Planning) => {
                        let started = start(store, wish, prepared, versions, holder).await?;
                        return Ok(Some(started));
                    }
                    (true, _) => return Ok(Some(run.clone())),
                    (false, RunState::Planning) => {}
                    (false, _) => return Err(conflict(run)),
                }
            }
            None => {}
        }
        // Between opening and planning: its planner is about to go on, or has died.
        let now = boot_time();
        let watched = match watch {
            Some((watched, watch)) if watched == holder => watch,
            _ => Watch::new(Seen { epoch: 0, beat: 0 }, now),
        };
        if watched.remaining(store.settings().lease, now).is_zero() {
            match &run {
                Some(run) => drop(close::fail(store, run, "its planner vanished").await?),
                None => {
                    let held = unused(versions);
                    store.free_open_run(&wish.job, holder, None, &held).await?;
                }
            }
        }
        watch = Some((holder, watched));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn unused(versions: &BTreeSet<i32>) -> Vec<(i32, Vec<TokenRange>)> {
    versions
        .iter()
        .map(|version| (*version, Vec::new()))
        .collect()
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

/// Timestamps come from Cassandra; a process whose own clock is far from it says so at once.
pub(in crate::worker) fn check_clock(opened: &[OpenRun], run_id: Uuid) -> Result<(), Problem> {
    let written_at = opened
        .iter()
        .filter(|row| row.run_id == Some(run_id))
        .find_map(|row| row.written_at);
    let Some(written_at) = written_at else {
        return Ok(());
    };
    clock::check(TimeDelta::microseconds(
        Utc::now().timestamp_micros() - written_at,
    ))
}

/// planning → running: base and plan.
async fn start(
    store: &Store,
    wish: &Wish,
    prepared: &PreparedJob,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<Run, Failure> {
    let (base, unfinished) = loop {
        if !store.refresh_open_run(&wish.job, versions, run_id).await? {
            break (None, Vec::new());
        }
        let opened = store.open_runs(&wish.job).await?;
        let (rows, others): (Vec<OpenRun>, Vec<OpenRun>) = opened
            .into_iter()
            .partition(|row| row.run_id == Some(run_id));
        if rows.len() < versions.len() {
            break (None, Vec::new());
        }
        let base = rows.iter().filter_map(|row| row.written_at).max();
        let mut last = rows.iter().filter_map(|row| row.last_base).max();
        if prepared.job.target.current.is_some() {
            // Runs over other versions may write the same rows of that table.
            last = last.max(current::newest_base(&others));
        }
        if base
            .zip(last)
            .is_none_or(|(base, last)| base - last >= BASE_GAP_US)
        {
            let unfinished: BTreeSet<TokenRange> =
                rows.into_iter().flat_map(|row| row.unfinished).collect();
            break (base, unfinished.into_iter().collect());
        }
        // Two that are planned at once must not keep overtaking each other.
        tokio::time::sleep(Duration::from_millis(10).mul_f64(1.0 + rand::random::<f64>())).await;
    };
    if let Some(base) = base {
        // Read after the base: a run that does not know of a promotion has a lower one than the run
        // that copies the new champion's predictions, and loses against it.
        let current = match current::of(store, prepared, &wish.scope).await {
            Err(failure) if failure.is(current::OUTDATED) => {
                if let Some(run) = store.run(&wish.job, run_id).await? {
                    close::fail(store, &run, &failure.to_string()).await?;
                }
                return Err(failure);
            }
            current => current?,
        };
        let plan = Plan {
            splits: splits(store, &prepared.job, &wish.scope.part).await?,
            unfinished,
        };
        failpoint::hit("during_planning");
        let warnings = &prepared.job.warnings;
        for _ in 0..START_TRIES {
            let run = (wish.job.as_str(), run_id);
            let started = store.start_run(run, base, current, &plan, warnings);
            // Another planner was first, or nobody knows whether it arrived: the row tells.
            if started.await? || !is_in_planning(store, &wish.job, run_id).await? {
                break;
            }
        }
    }
    match store.run(&wish.job, run_id).await? {
        Some(run) if run.state != RunState::Planning => Ok(run),
        planning => {
            if let Some(run) = planning {
                close::fail(
                    store,
                    &run,
                    "it lost its place in open_runs while it was planned",
                )
                .await?;
            }
            Err(Failure::system(
                Problem::new(
                    "run.lost_place",
                    format!("run {run_id} lost its place in open_runs while it was planned"),
                )
                .help("ask again"),
            ))
        }
    }
}

async fn is_in_planning(store: &Store, job: &str, run_id: Uuid) -> Result<bool, Failure> {
    let run = store.run(job, run_id).await?;
    Ok(run.is_some_and(|run| run.state == RunState::Planning))
}

/// The splits of a part of `job`'s source: more for larger tables, never across the ring's cuts.
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
