//! Services of the worker; each has a `run_once`.

pub mod admission;
pub mod aliases;
pub mod clock;
pub mod compare;
pub mod current;
pub mod doctor;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod forget;
pub mod gates;
pub mod health;
pub mod http;
pub mod inbox;
pub mod jobs;
pub mod models;
pub mod pass;
pub mod purge;
pub mod requests;
pub mod retention;
pub mod run;
pub mod scheduler;
pub mod service;
pub mod status;
pub mod verify;
pub mod warm;

use std::sync::Arc;

use chrono::Utc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    failure::Failure,
    process,
    store::{Store, leases::Watches, splits::Claimant},
};
use run::{
    shared::Shared,
    start::{Started, start_or_fail},
    work::{Work, Worked},
};

/// An identity of this process for one run: a random owner id, and where it runs.
pub fn claimant() -> Claimant {
    Claimant {
        owner: Uuid::new_v4(),
        process: process::identity().to_owned(),
    }
}

/// What one pass over everything did.
#[derive(Debug, Default)]
pub struct Pass {
    /// Versions admitted or refused.
    pub admissions: usize,
    /// Job revisions validated.
    pub jobs: usize,
    /// Alias requests answered.
    pub aliases: usize,
    /// Run requests answered.
    pub requests: usize,
    /// Triggers answered.
    pub triggers: usize,
    /// Runs that triggers made or joined.
    pub fired: usize,
    /// Runs that were worked on.
    pub runs: Vec<Uuid>,
    /// Old runs removed.
    pub removed_runs: usize,
    /// What could not be done, for whoever looks.
    pub troubles: Vec<String>,
}

/// Answers everything that waits, and works on every open run to its end.
///
/// # Errors
/// Cassandra's, or the library's. One bad row, model or run hurts no other.
pub async fn once(store: &Store, shared: &Shared) -> Result<Pass, Failure> {
    // Each service is boxed: their futures side by side are large.
    let (admissions, jobs) = (
        Box::pin(admission::run_once(store)).await?,
        Box::pin(jobs::run_once(store)).await?,
    );
    let mut watches = Watches::default();
    let moves = Box::pin(gates::act(store, &mut watches)).await?;
    let round = Box::pin(aliases::run_all(store, &mut watches)).await?;
    let mut pass = Pass {
        admissions,
        jobs,
        aliases: round.answered,
        troubles: moves.troubles,
        ..Pass::default()
    };
    let requests = Box::pin(requests::run_once(store)).await?;
    pass.requests = requests.answered;
    pass.troubles.extend(requests.troubles);
    let mut scheduler = scheduler::Scheduler::default();
    let begun = match scheduler.run_once(store).await {
        Ok(round) => round,
        // What is due is for others to say; runs that they planned go by no wall clock.
        Err(failure) if failure.is("clock.off") => {
            pass.troubles.push(failure.to_string());
            scheduler::Round::default()
        }
        Err(failure) => return Err(failure),
    };
    for round in [begun, scheduler.settle().await] {
        pass.triggers += round.answered;
        pass.fired += round.fired.len();
        pass.troubles.extend(round.troubles);
    }
    let current = Box::pin(current::Watch::default().round(store, Instant::now())).await?;
    pass.troubles.extend(current.troubles);
    for run in run::open::open_runs(store).await? {
        let (job, run_id) = (run.job.clone(), run.run_id);
        pass.runs.push(run_id);
        match Box::pin(work_on(store, run, shared)).await {
            Ok(Worked::Ended(_) | Worked::Stopped) => {}
            Ok(Worked::GaveUp(reason)) => pass
                .troubles
                .push(format!("job `{job}`, run {run_id}: {reason}")),
            Err(failure) => pass
                .troubles
                .push(format!("job `{job}`, run {run_id}: {failure}")),
        }
    }
    // Some waited for these runs.
    if round.waiting > 0 {
        let round = Box::pin(aliases::run_all(store, &mut watches)).await?;
        pass.aliases += round.answered;
    }
    if moves.under_way > 0 {
        let moves = Box::pin(gates::act(store, &mut watches)).await?;
        pass.troubles.extend(moves.troubles);
    }
    pass.removed_runs = retention::run_once(store, Utc::now()).await?.runs;
    Ok(pass)
}

async fn work_on(
    store: &Store,
    run: crate::domain::run::Run,
    shared: &Shared,
) -> Result<Worked, Failure> {
    let context = match start_or_fail(store, run, Arc::default(), &shared.warm).await? {
        Started::Failed(run) => return Ok(Worked::Ended(run)),
        Started::Ready(context) => Arc::from(context),
    };
    let say = Arc::new(|text: String| tracing::info!("{text}"));
    Ok(Work::new(context, claimant(), shared, say).run().await?)
}
