//! What only one worker does at a time, under the lease `scheduler`.
//!
//! The lease spares work; it protects nothing: each service is safe when two processes do it at
//! once, as commands do.

use std::time::Duration;

use chrono::{Days, Utc};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Service,
    rounds::{Rounds, jittered},
    run_requests,
};
use crate::{
    failure::Failure,
    process,
    store::{
        Store,
        error::StoreError,
        leases::{Asked as LeaseAsked, Lease, Watches},
        request_ids::Requests,
    },
    worker::{
        admission, aliases, current, gates,
        inbox::Inbox,
        jobs, retention,
        run::stop::Asked,
        scheduler::{Fired, Scheduler},
    },
};

/// The lease's name.
const LEASE: &str = "scheduler";
/// How often versions and jobs are swept.
const SWEEP: Duration = Duration::from_secs(15);
/// How often it is looked for champions that moved.
const CURRENT: Duration = Duration::from_secs(5);
/// How often alias requests are looked for.
const ALIAS_REQUESTS: Duration = Duration::from_secs(1);

/// After which an alias request that waits for a run is looked at again.
const WAITING: Duration = Duration::from_secs(2);

/// How often old runs are removed.
const REMOVALS: Duration = Duration::from_secs(3600);
/// How often triggers are looked at.
const TRIGGERS: Duration = Duration::from_secs(1);
/// A worker whose clock is off leaves the lead to others for so long.
const CLOCK_REST: Duration = Duration::from_secs(60);

/// Leads whenever nobody else does, until asked to stop.
pub(super) async fn keep(service: Service) {
    let stop = service.stop();
    let mut watches = Watches::default();
    let mut told = None;
    while stop.asked() == Asked::Nothing {
        let mut pause = service.store.settings().lease / 3;
        match service.store.ask_lease(LEASE, &mut watches).await {
            Ok(LeaseAsked::Granted(lease)) => {
                told = None;
                if lead(&service, lease).await == Left::ClockOff {
                    pause = CLOCK_REST;
                }
            }
            Ok(LeaseAsked::Held(row)) => {
                let holder = row.process.as_deref().map(process::spoken);
                if holder != told {
                    tracing::info!(leader = holder, "another worker leads");
                    told = holder;
                }
            }
            Err(error) => tracing::warn!(%error, "could not ask for the lead"),
        }
        tokio::select! {
            () = sleep(jittered(pause)) => {}
            () = stop.reaches(Asked::Drain) => {}
        }
    }
}

/// Why a leader leads no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Asked to stop, or the lease was lost.
    Duly,
    /// This machine's clock is not to be trusted with what is due.
    ClockOff,
}

async fn lead(service: &Service, lease: Lease) -> Left {
    tracing::info!("this worker leads");
    let _note = service.board.note("leads".to_owned());
    let stop = service.stop();
    let mut parts = JoinSet::new();
    parts.spawn(admissions(service.clone()));
    parts.spawn(validations(service.clone()));
    parts.spawn(run_requests::keep(service.clone()));
    parts.spawn(alias_requests(service.clone()));
    parts.spawn(removals(service.clone()));
    parts.spawn(verdicts(service.clone()));
    parts.spawn(current_predictions(service.clone()));
    let mut triggers = tokio::spawn(triggers(service.clone()));
    let mut left = Left::Duly;
    let look = service.store.settings().lease / 10;
    while lease.is_ours() {
        tokio::select! {
            () = sleep(look) => {}
            ended = &mut triggers => {
                match ended {
                    Ok(why) => left = why,
                    Err(panic) => tracing::error!(%panic, "a service broke"),
                }
                break;
            }
            ended = parts.join_next() => match ended {
                // They end when they are asked to.
                Some(Ok(())) => {}
                Some(Err(panic)) => {
                    tracing::error!(%panic, "a service broke; the lead goes to another worker");
                    break;
                }
                None => break,
            }
        }
    }
    triggers.abort();
    if stop.asked() == Asked::Nothing {
        parts.abort_all();
    }
    // Asked to stop: what is under way ends, or is left when everything is.
    while parts.join_next().await.is_some() {}
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "giving the lead back");
    }
    left
}

/// What a round began goes on in the background; whatever is cut off there, the next leader finds.
async fn triggers(service: Service) -> Left {
    let mut rounds = Rounds::new("triggers", service.stop(), TRIGGERS);
    let mut scheduler = Scheduler::default();
    while rounds.next().await {
        let round = scheduler.run_once(&service.store).await;
        match &round {
            Ok(round) => {
                for Fired {
                    job,
                    trigger,
                    run_id,
                } in &round.fired
                {
                    tracing::info!(job, trigger, %run_id, "fired");
                    service.opened.notify_one();
                }
                for trouble in &round.troubles {
                    tracing::warn!("{trouble}");
                }
            }
            Err(failure) if failure.is("clock.off") => {
                tracing::error!(%failure, "the lead goes to another worker");
                return Left::ClockOff;
            }
            Err(_) => {}
        }
        rounds.ended(round);
    }
    Left::Duly
}

async fn admissions(service: Service) {
    let mut rounds = Rounds::new("admission", service.stop(), SWEEP);
    let mut admission = None;
    while rounds.next().await {
        rounds.ended(admit(&service.store, &mut admission).await);
    }
}

/// `admission` is kept between rounds, so that leases of dead workers are noticed.
async fn admit(
    store: &Store,
    admission: &mut Option<admission::Service>,
) -> Result<usize, Failure> {
    let admission = match admission {
        Some(admission) => admission,
        None => admission.insert(admission::Service::new(store)?),
    };
    admission.run_once(store).await
}

async fn validations(service: Service) {
    let mut rounds = Rounds::new("jobs", service.stop(), SWEEP);
    while rounds.next().await {
        rounds.ended(jobs::run_once(&service.store).await);
    }
}

async fn verdicts(service: Service) {
    let mut rounds = Rounds::new("gates", service.stop(), SWEEP);
    let mut watch = gates::Watch::default();
    while rounds.next().await {
        let round = watch.round(&service.store, Instant::now()).await;
        for trouble in round.iter().flat_map(|round| &round.troubles) {
            tracing::warn!("{trouble}");
        }
        rounds.ended(round);
    }
}

async fn current_predictions(service: Service) {
    let mut rounds = Rounds::new("current", service.stop(), CURRENT);
    let mut watch = current::Watch::default();
    while rounds.next().await {
        let round = watch.round(&service.store, Instant::now()).await;
        if let Ok(round) = &round {
            for run in &round.planned {
                tracing::info!(job = run.job, run_id = %run.run_id, "current predictions");
                service.opened.notify_one();
            }
            for trouble in &round.troubles {
                tracing::warn!("{trouble}");
            }
        }
        rounds.ended(round);
    }
}

async fn removals(service: Service) {
    let mut rounds = Rounds::new("retention", service.stop(), REMOVALS);
    while rounds.next().await {
        rounds.ended(retention::run_once(&service.store, Utc::now()).await);
    }
}

async fn alias_requests(service: Service) {
    let mut rounds = Rounds::new("aliases", service.stop(), ALIAS_REQUESTS);
    let mut inbox = Inbox::new(Requests::Alias);
    let mut watches = Watches::default();
    while rounds.next().await {
        rounds.ended(answer_aliases(&service.store, &mut inbox, &mut watches).await);
    }
}

async fn answer_aliases(
    store: &Store,
    inbox: &mut Inbox,
    watches: &mut Watches,
) -> Result<(), StoreError> {
    let open = inbox.open(store).await?;
    if open.is_empty() {
        return Ok(());
    }
    let yesterday = Utc::now().date_naive() - Days::new(1);
    if open.iter().all(|(day, _)| *day >= yesterday) {
        aliases::run_once(store, watches).await?;
    } else {
        aliases::run_all(store, watches).await?;
    }
    // Most have their answer now; a promotion may wait for a run.
    for (_, id) in open {
        inbox.waits(id, WAITING);
    }
    Ok(())
}
