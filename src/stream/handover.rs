//! From the pipeline to the committer: while one batch is committed, another one may be ready.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many batches are ready or being committed.
const PLACES: u32 = 2;
/// How often the queue is looked at while a batch is committed.
const LOOK: Duration = Duration::from_millis(1);

/// The pipeline's end.
pub struct Handover<B> {
    sender: mpsc::Sender<HandedBatch<B>>,
    places: Arc<Semaphore>,
}

/// A batch to be committed. It has a place until it is dropped.
pub struct HandedBatch<B> {
    pub batch: B,
    pub place: OwnedSemaphorePermit,
}

/// Returns both ends.
pub fn handover<B>() -> (Handover<B>, mpsc::Receiver<HandedBatch<B>>) {
    let (sender, receiver) = mpsc::channel(PLACES as usize);
    let places = Arc::new(Semaphore::new(PLACES as usize));
    (Handover { sender, places }, receiver)
}

impl<B> Handover<B> {
    /// Waits until all batches are committed, or `has_many` messages. A small batch that is made while
    /// another one is committed waits for it, and those after it wait for both; a full one is made
    /// meanwhile, so that neither waits for the other.
    pub async fn turn(&self, has_many: impl Fn() -> bool) {
        while !has_many() {
            tokio::select! {
                _ = self.places.acquire_many(PLACES) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Hands a batch over, once there is a place. Does nothing if the committer has ended.
    pub async fn send(&self, batch: B) {
        // The places are never closed.
        if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            let _ = self.sender.send(HandedBatch { batch, place }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Long enough to see that a call waits.
    const WHILE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn small_batches_wait_for_the_one_before_and_full_ones_do_not() {
        let (ours, mut theirs) = handover();
        ours.turn(|| false).await;
        ours.send("first").await;
        let committed = theirs.recv().await.unwrap();
        assert!(ours.turn(|| false).now_or_never().is_none());
        let waited = tokio::time::timeout(WHILE, ours.turn(|| false));
        assert!(waited.await.is_err());
        ours.turn(|| true).await;
        ours.send("second").await;
        let third = tokio::time::timeout(WHILE, ours.send("third"));
        assert!(third.await.is_err(), "one is committed, another one ready");
        drop(committed);
        assert!(ours.turn(|| false).now_or_never().is_none());
        drop(theirs.recv().await.unwrap());
        ours.turn(|| false).await;
    }

    #[tokio::test]
    async fn a_committer_that_ended_keeps_nobody_waiting() {
        let (ours, theirs) = handover();
        ours.send(1).await;
        drop(theirs);
        ours.turn(|| false).await;
        ours.send(2).await;
        ours.send(3).await;
    }
}
