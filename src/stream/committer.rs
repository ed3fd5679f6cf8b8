//! Commits batches: what is aborted is sent again, until it is committed or belongs to another member.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    batch::{AGAIN, ReadyBatch},
    client::TransactionalProducer,
    handover::HandedBatch,
    report::StreamReport,
    slot::Producers,
    transaction::{Uncommitted, commit},
};

/// Commits batches, one after the other.
pub(super) struct Committer {
    pub producers: Producers,
    pub topic: String,
    pub report: Arc<StreamReport>,
}

impl Committer {
    /// Commits what comes; returns why it cannot go on.
    pub async fn run(self, mut ready: mpsc::Receiver<HandedBatch<ReadyBatch>>) -> String {
        let mut turns = self.producers.iter().cycle();
        while let Some(HandedBatch { batch, place }) = ready.recv().await {
            let Some(producer) = turns.next() else { break };
            if let Err(why) = self.commit(producer, batch).await {
                return why;
            }
            drop(place);
        }
        "the stream is left".to_owned()
    }

    async fn commit(
        &self,
        producer: &Arc<TransactionalProducer>,
        batch: ReadyBatch,
    ) -> Result<(), String> {
        let mut batch = Arc::new(batch);
        loop {
            let (producer, topic) = (Arc::clone(producer), self.topic.clone());
            let sent = Arc::clone(&batch);
            let outcome = tokio::task::spawn_blocking(move || commit(&producer, &topic, &sent));
            match outcome.await.map_err(|error| error.to_string())? {
                Ok(()) => {
                    self.report.committed(&batch);
                    return Ok(());
                }
                Err(Uncommitted::Over) => return Ok(()),
                Err(Uncommitted::Broken(why)) => return Err(why),
                Err(Uncommitted::Aborted(why)) => {
                    tracing::info!(why, "a transaction was aborted; sending it again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(Uncommitted::TooLarge(which)) => {
                    let Some(batch) = Arc::get_mut(&mut batch) else {
                        return Err("a batch is still being sent".to_owned());
                    };
                    for at in which {
                        batch.outgoing[at].without_value();
                    }
                }
            }
        }
    }
}
