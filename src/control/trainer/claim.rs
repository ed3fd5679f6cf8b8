//! The claim of a training, renewed in the background.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    process::boot_time,
    store::{Store, retraining::trainings::TrainingClaim},
};

/// A claim that this process holds until it is lost, released or dropped.
#[derive(Debug)]
pub struct HeldClaim {
    claim: TrainingClaim,
    step: Arc<Mutex<&'static str>>,
    lost: watch::Receiver<bool>,
    beating: JoinHandle<()>,
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

impl HeldClaim {
    /// Starts to renew a claim whose write was sent at `sent_at`.
    pub fn new(store: &Store, claim: TrainingClaim, sent_at: Duration) -> Self {
        let step = Arc::new(Mutex::new("begins"));
        let (sender, lost) = watch::channel(false);
        let beating = tokio::spawn(beat(
            store.clone(),
            claim.clone(),
            Arc::clone(&step),
            (sender, sent_at),
        ));
        Self {
            claim,
            step,
            lost,
            beating,
        }
    }

    /// Returns what the owner's writes are conditional on.
    pub fn claim(&self) -> &TrainingClaim {
        &self.claim
    }

    /// Returns what becomes true when the claim is lost.
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// Says what is done now; the row has it with the next beat.
    pub fn set_step(&self, step: &'static str) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Gives the claim back.
    pub async fn release(&self, store: &Store) {
        self.beating.abort();
        if let Err(error) = store.release_training(&self.claim).await {
            tracing::warn!(%error, "giving a training back; another trainer waits for the lease time");
        }
    }
}

async fn beat(
    store: Store,
    claim: TrainingClaim,
    step: Arc<Mutex<&'static str>>,
    (lost, mut renewed_at): (watch::Sender<bool>, Duration),
) {
    let lease = store.settings().lease;
    let mut beat = 0_i64;
    let mut pause = lease / 3;
    loop {
        tokio::time::sleep(pause).await;
        pause = lease / 3;
        beat += 1;
        let sent_at = boot_time();
        let now = *step.lock().unwrap_or_else(PoisonError::into_inner);
        match store.beat_training(&claim, beat, now).await {
            Ok(true) => renewed_at = sent_at,
            Ok(false) => break,
            Err(error) => {
                tracing::warn!(%error, "the claim of a training could not be renewed");
                if boot_time().saturating_sub(renewed_at) >= lease {
                    break;
                }
                pause = lease / 20;
            }
        }
    }
    lost.send_replace(true);
}
