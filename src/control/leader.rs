//! Runs all controllers on one worker at a time, under the lease `scheduler`.
//!
//! The lease only saves work; it protects nothing. Each controller is safe when two processes run
//! it at the same time, as commands do.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};

use super::{
    Controller, Opened, Round, controllers,
    rounds::{Rounds, jittered},
    service::Service,
};
use crate::{
    engine::run::stop::Asked,
    process,
    store::admin::leases::{Asked as LeaseAsked, Lease, Watches},
};

const LEASE: &str = "scheduler";
/// Pause for which a worker whose clock is off leaves the lead to others.
const CLOCK_REST: Duration = Duration::from_secs(60);

/// Leads whenever no other worker does, until asked to stop.
pub(super) async fn keep(service: Service) {
    let stop = service.stop();
    let mut watches = Watches::default();
    let mut reported = None;
    while stop.asked() == Asked::Nothing {
        let mut pause = service.store.settings().lease / 3;
        match service.store.ask_lease(LEASE, &mut watches).await {
            Ok(LeaseAsked::Granted(lease)) => {
                reported = None;
                if lead(&service, lease).await == Left::ClockOff {
                    pause = CLOCK_REST;
                }
            }
            Ok(LeaseAsked::Held(row)) => {
                let holder = row.process.as_deref().map(process::readable);
                if holder != reported {
                    tracing::info!(leader = holder, "another worker leads");
                    reported = holder;
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

/// Why a leader stopped leading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The worker was asked to stop, or the lease was lost.
    Duly,
    /// This machine's clock is too far off to decide what is due.
    ClockOff,
}

async fn lead(service: &Service, lease: Lease) -> Left {
    tracing::info!("this worker leads");
    let _note = service.board.note("leads".to_owned());
    let mut running = JoinSet::new();
    for controller in controllers::list() {
        running.spawn(run(service.clone(), controller));
    }
    let mut left = Left::Duly;
    let check = service.store.settings().lease / 10;
    while lease.is_ours() {
        tokio::select! {
            () = sleep(check) => {}
            ended = running.join_next() => match ended {
                // A controller ends only when it is asked to stop.
                Some(Ok(Left::Duly)) => {}
                Some(Ok(Left::ClockOff)) => {
                    left = Left::ClockOff;
                    break;
                }
                Some(Err(panic)) => {
                    tracing::error!(%panic, "a controller broke; the lead goes to another worker");
                    break;
                }
                None => break,
            }
        }
    }
    if service.stop().asked() == Asked::Nothing {
        running.abort_all();
    }
    // Asked to stop: work under way is finished, or aborted together with this task.
    while running.join_next().await.is_some() {}
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "giving the lead back");
    }
    left
}

/// Runs a controller round after round, until asked to stop.
async fn run(service: Service, mut controller: Box<dyn Controller>) -> Left {
    let store = &service.store;
    let mut rounds = Rounds::new(controller.name(), service.stop(), controller.period());
    loop {
        let is_busy = controller.is_busy();
        tokio::select! {
            go_on = rounds.next() => if !go_on {
                break;
            },
            round = controller.background(store), if is_busy => {
                report(&service, controller.name(), &round);
                continue;
            }
        }
        let round = controller.round(store).await;
        match &round {
            Ok(round) => report(&service, controller.name(), round),
            Err(failure) if failure.is("clock.off") => {
                tracing::error!(%failure, "the lead goes to another worker");
                return Left::ClockOff;
            }
            Err(_) => {}
        }
        let again_soon = round.as_ref().is_ok_and(|round| round.again_soon);
        rounds.ended(round);
        if again_soon {
            rounds.soon();
        }
    }
    controller.finish().await;
    Left::Duly
}

/// Logs what a controller did, and wakes scoring for new runs.
fn report(service: &Service, controller: &str, round: &Round) {
    for Opened { job, run_id, cause } in &round.runs {
        tracing::info!(controller, job, %run_id, cause, "opened or joined a run");
        service.opened.notify_one();
    }
    for error in &round.errors {
        tracing::warn!(controller, "{error}");
    }
}
