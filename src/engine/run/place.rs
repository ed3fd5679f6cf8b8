//! A run's place: its job's versions in `open_runs`. Every kind of run takes it here, also from a
//! run whose process has crashed.

use std::{collections::BTreeSet, time::Duration};

use chrono::{TimeDelta, Utc};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{
    close,
    heartbeat::{planners_beat, watch_on},
};
use crate::{
    codec::ring::TokenRange,
    domain::{
        problem::Problem,
        run::{Run, lease::Watch},
    },
    engine::clock,
    failure::Failure,
    process::boot_time,
    store::{
        Store,
        runs::open_runs::{OpenRun, Opened},
    },
};

/// Why a run failed whose planner stopped writing its place.
pub const PLANNER_VANISHED: &str = "its planner vanished";

/// The outcome of taking a place.
pub enum Taken<T> {
    /// The versions are this run's. `forgot`: the last run that was waited for and erased entities.
    Mine { forgot: Option<Box<Run>> },
    /// Another run has them, and this is done instead.
    Instead(T),
}

/// Takes the versions of a job for a run. `judge` decides about another run that has them and has
/// not ended: what is done instead, or `None` to wait for a run that is still being planned.
///
/// # Errors
/// Those of `judge`; Cassandra's errors.
pub async fn take<'f, T>(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
    judge: impl Fn(Run) -> BoxFuture<'f, Result<Option<T>, Failure>>,
) -> Result<Taken<T>, Failure> {
    let mut watch: Option<(Uuid, Watch)> = None;
    let mut forgot = None;
    loop {
        let holder = match store.open_run(job, versions, run_id).await? {
            Opened::Mine => return Ok(Taken::Mine { forgot }),
            Opened::HeldBy(holder) => holder,
        };
        let run = store.run(job, holder).await?;
        if let Some(run) = &run {
            if run.state.is_terminal() {
                close::free(store, run).await?;
                continue;
            }
            if let Some(instead) = judge(run.clone()).await? {
                return Ok(Taken::Instead(instead));
            }
            if run.trigger == "forget" {
                forgot = Some(Box::new(run.clone()));
            }
        }
        // Between opening and planning: its planner is about to continue, or has crashed.
        let seen = planners_beat(store, job, holder).await?;
        let now = boot_time();
        let watched = watch_on(watch, holder, seen, now);
        if watched.remaining(store.settings().lease, now).is_zero() {
            match &run {
                Some(run) => drop(close::fail(store, run, PLANNER_VANISHED).await?),
                None => give_back(store, job, versions, holder).await?,
            }
        }
        watch = Some((holder, watched));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Frees the place of a run under which nothing was written.
///
/// # Errors
/// Cassandra's errors.
pub async fn give_back(
    store: &Store,
    job: &str,
    versions: &BTreeSet<i32>,
    run_id: Uuid,
) -> Result<(), Failure> {
    let unused: Vec<(i32, Vec<TokenRange>)> = versions
        .iter()
        .map(|version| (*version, Vec::new()))
        .collect();
    Ok(store.free_open_run(job, run_id, None, &unused).await?)
}

/// Checks this process's clock against Cassandra's, which assigns the timestamps, so that a large
/// difference is reported at once.
///
/// # Errors
/// The difference.
pub fn check_clock(opened: &[OpenRun], run_id: Uuid) -> Result<(), Problem> {
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
