//! A trainer: runs the commands of its settings for requests in `retraining_requests`.
//!
//! A request is claimed under a lease in `trainings`, as splits are. A trainer that crashes, freezes
//! or loses Cassandra loses its claim, and another one starts over; what it may still write is
//! conditional on its fencing number. The number of the version is reserved in the same row before
//! the version is registered (`register`), so that one request makes one version at most.

mod artifacts;
mod claim;
mod register;
mod train;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    config::TrainerCommand,
    domain::{
        retraining::state::{RequestState, RetrainingRequest, TrainingState},
        run::lease::{Seen, Watch},
    },
    process::{self, boot_time},
    store::{Store, driver::error::StoreError},
};
use claim::HeldClaim;

/// Interval at which requests are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// Interval at which a trainer says that it is there.
const PRESENCE: Duration = Duration::from_secs(15);
/// Claims of one request, after which it has failed: its training may be what crashes trainers.
const MAX_CLAIMS: i32 = 5;

/// A trainer.
#[derive(Debug)]
pub struct Trainer {
    store: Store,
    id: Uuid,
    commands: BTreeMap<String, TrainerCommand>,
    watches: HashMap<Uuid, Watch>,
}

/// A request that this trainer has claimed.
type Claimed = (RetrainingRequest, HeldClaim);

impl Trainer {
    /// Returns a trainer that serves these names.
    pub fn new(store: Store, commands: BTreeMap<String, TrainerCommand>) -> Self {
        Self {
            store,
            id: Uuid::new_v4(),
            commands,
            watches: HashMap::new(),
        }
    }

    /// Serves requests, one after the other, until `stop` is true; then the command under way is
    /// killed and its request given back.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let doing = watch::Sender::new(None);
        let presence = tokio::spawn(keep_presence(
            self.store.clone(),
            self.id,
            self.commands.keys().cloned().collect(),
            doing.subscribe(),
        ));
        while !*stop.borrow() {
            match self.claim_next().await {
                Ok(Some(claimed)) => {
                    let (model, name) = (&claimed.0.model, &claimed.0.name);
                    doing.send_replace(Some(format!("trains {model}/{name}")));
                    self.serve(claimed, &mut stop).await;
                    doing.send_replace(None);
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "could not look for requests"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        presence.abort();
        // The row expires without this.
        let left = self.store.leave_trainers(self.id);
        let _ = tokio::time::timeout(Duration::from_secs(2), left).await;
    }

    /// Serves what can be claimed now; returns the number of requests.
    ///
    /// # Errors
    /// Errors of Cassandra while it looks for requests.
    pub async fn once(mut self, mut stop: watch::Receiver<bool>) -> Result<usize, StoreError> {
        let mut served = 0;
        while !*stop.borrow()
            && let Some(claimed) = self.claim_next().await?
        {
            self.serve(claimed, &mut stop).await;
            served += 1;
        }
        Ok(served)
    }

    async fn serve(&self, (request, held): Claimed, stop: &mut watch::Receiver<bool>) {
        let Some(command) = self.commands.get(&request.spec.trainer) else {
            return;
        };
        let (model, name, id) = (&request.model, &request.name, request.id);
        tracing::info!(model, name, %id, cause = request.cause, "training");
        let mut lost = held.lost();
        // Dropping the training kills the command.
        let ended = tokio::select! {
            ended = Box::pin(train::train(&self.store, &request, &held, command)) => ended,
            _ = lost.wait_for(|lost| *lost) => {
                tracing::warn!(model, name, %id, "another trainer may have taken over; starting over");
                return;
            }
            _ = stop.wait_for(|stop| *stop) => {
                held.release(&self.store).await;
                return;
            }
        };
        match ended {
            Ok(ended) => {
                let (state, reason) = (ended.state.as_str(), ended.reason.as_deref());
                tracing::info!(model, name, %id, state, reason, version = ended.version, "training ended");
            }
            Err(failure) => {
                tracing::warn!(model, name, %id, %failure, "training was interrupted; starting over");
                held.release(&self.store).await;
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Claims the first request that waits for a trainer, or whose trainer is gone.
    async fn claim_next(&mut self) -> Result<Option<Claimed>, StoreError> {
        for status in self.store.retraining_statuses().await? {
            let Some(open) = status.open else {
                continue;
            };
            let (model, name) = (&status.model, &status.name);
            let Some(request) = self.store.retraining_request(model, name, open).await? else {
                continue;
            };
            let is_served = self.commands.contains_key(&request.spec.trainer);
            if request.state != RequestState::Training || !is_served {
                continue;
            }
            if let Some(claimed) = self.claim(request).await? {
                return Ok(Some(claimed));
            }
        }
        Ok(None)
    }

    async fn claim(&mut self, request: RetrainingRequest) -> Result<Option<Claimed>, StoreError> {
        let before = self
            .store
            .training(&request.model, &request.name, request.id)
            .await?;
        if let Some(before) = &before {
            if before.state != TrainingState::Training {
                return Ok(None);
            }
            if before.owner.is_some() {
                let seen = Seen {
                    epoch: before.epoch,
                    beat: before.beat,
                };
                let now = boot_time();
                let watch = self
                    .watches
                    .entry(request.id)
                    .or_insert_with(|| Watch::new(seen.clone(), now));
                watch.observe(seen, now);
                let is_gone = before.process.as_deref().is_some_and(process::is_gone);
                if !is_gone && !watch.remaining(self.store.settings().lease, now).is_zero() {
                    return Ok(None);
                }
            }
        }
        self.watches.remove(&request.id);
        let sent_at = boot_time();
        let claim = self.store.claim_training(&request, before.as_ref()).await?;
        Ok(claim.map(|claim| {
            let held = HeldClaim::new(&self.store, claim, sent_at);
            (request, held)
        }))
    }
}

async fn keep_presence(
    store: Store,
    id: Uuid,
    names: BTreeSet<String>,
    doing: watch::Receiver<Option<String>>,
) {
    loop {
        let now = doing.borrow().clone();
        if let Err(error) = store.write_trainer(id, &names, now.as_deref()).await {
            tracing::warn!(%error, "could not say that this trainer is there");
        }
        tokio::time::sleep(PRESENCE).await;
    }
}
