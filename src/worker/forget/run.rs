//! The run that forgetting is: opened over all versions, never planned, so that no worker claims
//! anything of it; ended by one conditional write.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::Utc;
use uuid::Uuid;

use super::place::Place;
use crate::{
    domain::{
        lease::{Seen, Watch},
        problem::Problem,
        ring::TokenRange,
        run::{Counts, Part, Run, RunState, Scope},
    },
    failure::Failure,
    process,
    store::{
        Store,
        open_runs::{OpenRun, Opened},
        runs::Ending,
    },
    worker::run::{
        close as end,
        plan::{BASE_GAP_US, check_clock},
    },
};

/// How often the ending is sent while it does not arrive.
const FINISH_TRIES: u32 = 5;

/// An open run that forgets.
pub struct Open {
    /// Its id.
    pub run_id: Uuid,
    job: String,
    base: i64,
    versions: BTreeSet<i32>,
    unfinished: Vec<(i32, Vec<TokenRange>)>,
}

impl Open {
    /// What its deletes carry: as the only epoch of any other run.
    pub fn timestamp(&self) -> i64 {
        self.base + 2
    }
}

/// Opens one over all of the place's versions, and waits for its base.
///
/// # Errors
/// Exit 4 with the id of another open run; a clock that is off; Cassandra's.
pub async fn open(store: &Store, place: &Place, keys: usize) -> Result<Open, Failure> {
    let run_id = process::timeuuid();
    let mut versions = place.versions.clone();
    if versions.is_empty() {
        // A job that never had a model: something must be written for its time.
        versions.insert(0);
    }
    take(store, &place.job, &versions, run_id).await?;
    let base = match base(store, &place.job, &versions, run_id).await {
        Ok(base) => base,
        Err(failure) => {
            let unused: Vec<_> = versions.iter().map(|v| (*v, Vec::new())).collect();
            store
                .free_open_run(&place.job, run_id, None, &unused)
                .await?;
            return Err(failure);
        }
    };
    let rows = store.open_runs(&place.job).await?;
    store
        .insert_run(&new_run(place, &versions, run_id, keys))
        .await?;
    Ok(Open {
        run_id,
        job: place.job.clone(),
        base,
        unfinished: rows
            .into_iter()
            .filter(|row| row.run_id == Some(run_id))
            .map(|row| (row.version, row.unfinished))
            .collect(),
        versions,
    })
}

/// Ends it as its work ended, and frees the versions.
///
/// # Errors
/// Exit 4 when another process held it for dead meanwhile; Cassandra's.
pub async fn close(
    store: &Store,
    open: &Open,
    outcome: &Result<(), Failure>,
) -> Result<(), Failure> {
    let zero = || open.versions.iter().map(|version| (*version, 0)).collect();
    let ending = Ending {
        state: match outcome {
            Ok(()) => RunState::Succeeded,
            Err(_) => RunState::Failed,
        },
        reason: outcome.as_ref().err().map(ToString::to_string),
        warnings: Vec::new(),
        late: false,
        splits_done: 0,
        counts: Counts {
            source_rows: 0,
            orphaned: 0,
            scored: zero(),
            unchanged: zero(),
            rejected: zero(),
        },
        output_statistics: BTreeMap::new(),
    };
    let mut row = None;
    for _ in 0..FINISH_TRIES {
        store.finish_run(&open.job, open.run_id, &ending).await?;
        row = store.run(&open.job, open.run_id).await?;
        if row.as_ref().is_none_or(|run| run.state.is_terminal()) {
            break;
        }
    }
    if !row.is_some_and(|run| run.state == ending.state) {
        return Err(Failure::conflict(
            Problem::new(
                "forget.lost_place",
                format!(
                    "run {} was held for dead while it forgot; another may have begun meanwhile",
                    open.run_id
                ),
            )
            .help("ask again"),
        ));
    }
    store
        .free_open_run(&open.job, open.run_id, Some(open.base), &open.unfinished)
        .await?;
    Ok(())
}

/// Takes the versions, from a dead run if need be.
async fn take(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<(), Failure> {
    let mut watched: Option<(Uuid, Watch)> = None;
    loop {
        let holder = match store.open_run(job, versions, run_id).await? {
            Opened::Mine => return Ok(()),
            Opened::HeldBy(holder) => holder,
        };
        let run = store.run(job, holder).await?;
        match &run {
            Some(run) if run.state.is_terminal() => {
                end::free(store, run).await?;
                continue;
            }
            Some(run) if run.state != RunState::Planning => return Err(conflict(run)),
            _ => {}
        }
        // Between opening and planning: its process is about to go on, or has died.
        let now = process::boot_time();
        let watch = match watched {
            Some((seen, watch)) if seen == holder => watch,
            _ => Watch::new(Seen { epoch: 0, beat: 0 }, now),
        };
        if watch.remaining(store.settings().lease, now).is_zero() {
            match &run {
                Some(run) => drop(end::fail(store, run, "its planner vanished").await?),
                None => {
                    let unused: Vec<_> = versions.iter().map(|v| (*v, Vec::new())).collect();
                    store.free_open_run(job, holder, None, &unused).await?;
                }
            }
        }
        watched = Some((holder, watch));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn conflict(run: &Run) -> Failure {
    Failure::conflict(
        Problem::new(
            "run.conflict",
            format!(
                "run {} of job `{}` is open: it must end before an entity is forgotten",
                run.run_id, run.job
            ),
        )
        .help(format!(
            "`helenus run show {} {}` follows it, `helenus run cancel {} {}` ends it",
            run.job, run.run_id, run.job, run.run_id
        )),
    )
}

/// Cassandra's own time of the opening, far enough above every earlier run's.
async fn base(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<i64, Failure> {
    loop {
        let held = store.refresh_open_run(job, versions, run_id).await?;
        let rows = store.open_runs(job).await?;
        check_clock(&rows, run_id).map_err(Failure::system)?;
        let mine = |row: &&OpenRun| row.run_id == Some(run_id);
        let base = rows.iter().filter(mine).filter_map(|row| row.written_at);
        let Some(base) = base.max().filter(|_| held) else {
            return Err(Failure::conflict(
                Problem::new(
                    "forget.lost_place",
                    "another run took the place while it was opened",
                )
                .help("ask again"),
            ));
        };
        // Of all versions: one delete covers them all.
        let last = rows.iter().filter_map(|row| row.last_base).max();
        if last.is_none_or(|last| base - last >= BASE_GAP_US) {
            return Ok(base);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn new_run(place: &Place, versions: &BTreeSet<i32>, run_id: Uuid, keys: usize) -> Run {
    let targets: Vec<_> = place
        .targets
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    Run {
        job_revision: place.revision,
        versions: versions.clone(),
        scope: Scope {
            rewrite: false,
            refresh: false,
            // How many, and not which.
            part: Part::Keys(vec![BTreeMap::new(); keys]),
        },
        source: place.source.clone(),
        target: targets.join(", "),
        trigger: "forget".to_owned(),
        requested_by: Some(process::user()),
        ..Run::planning(&place.job, run_id, Utc::now())
    }
}
