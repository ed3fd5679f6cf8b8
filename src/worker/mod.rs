//! Services of the worker; each has a `run_once`.

pub mod admission;
pub mod aliases;
pub mod doctor;
pub mod explain;
pub mod jobs;
pub mod models;
pub mod requests;
pub mod run;
pub mod status;
pub mod verify;

use std::sync::{Arc, atomic::AtomicBool};

use uuid::Uuid;

use crate::{
    failure::Failure,
    process,
    store::{Store, leases::Watches, splits::Claimant},
};
use run::{
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
    /// Runs that were worked on.
    pub runs: Vec<Uuid>,
    /// What could not be done, for whoever looks.
    pub troubles: Vec<String>,
}

/// Answers everything that waits, and works on every open run to its end.
///
/// # Errors
/// Cassandra's, or the library's. One bad row, model or run hurts no other.
pub async fn once(store: &Store, stop: Arc<AtomicBool>) -> Result<Pass, Failure> {
    let mut pass = Pass {
        admissions: admission::run_once(store).await?,
        jobs: jobs::run_once(store).await?,
        aliases: aliases::run_all(store, &mut Watches::default())
            .await?
            .answered,
        requests: requests::run_once(store).await?,
        ..Pass::default()
    };
    for run in run::open::open_runs(store).await? {
        let (job, run_id) = (run.job.clone(), run.run_id);
        pass.runs.push(run_id);
        match work_on(store, run, Arc::clone(&stop)).await {
            Ok(Worked::Ended(_) | Worked::Stopped) => {}
            Ok(Worked::GaveUp(reason)) => pass
                .troubles
                .push(format!("job `{job}`, run {run_id}: {reason}")),
            Err(failure) => pass
                .troubles
                .push(format!("job `{job}`, run {run_id}: {failure}")),
        }
    }
    Ok(pass)
}

async fn work_on(
    store: &Store,
    run: crate::domain::run::Run,
    stop: Arc<AtomicBool>,
) -> Result<Worked, Failure> {
    let context = match start_or_fail(store, run, Arc::default()).await? {
        Started::Failed(run) => return Ok(Worked::Ended(run)),
        Started::Ready(context) => Arc::from(context),
    };
    let say = Arc::new(|text: String| tracing::info!("{text}"));
    Ok(Work::new(context, claimant(), stop, say).run().await?)
}
