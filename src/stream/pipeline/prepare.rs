//! Makes batches ready to be sent: waits for what is away, pauses a stream that rejects too much.

use std::{sync::Arc, time::Instant};

use futures::FutureExt;

use super::{Ended, LOOK, Pipeline};
use crate::{
    serve::residents::ServedJob,
    store::driver::error::StoreError,
    stream::{
        batch::{AGAIN, Batch, NotReady, ReadyBatch},
        decode::RowLayout,
        events::{self, Excess},
        member::StreamMember,
        report::StreamState,
    },
};

impl Pipeline {
    /// Makes a batch ready, however long that takes. `None`: its partitions are gone.
    pub(super) async fn prepare(
        &mut self,
        member: &StreamMember,
        job: &Arc<ServedJob>,
        batch: Batch,
    ) -> Result<Option<ReadyBatch>, Ended> {
        let mut job = Arc::clone(job);
        loop {
            let prepared = match self.prepare_once(member, &job, &batch).boxed().await {
                Ok(prepared) => prepared,
                Err(NotReady::Over) => return Ok(None),
                Err(NotReady::Waiting(why)) => {
                    member.report.state(StreamState::Waiting, Some(&why));
                    tokio::time::sleep(AGAIN).await;
                    if batch.generation.is_over() {
                        return Ok(None);
                    }
                    if let Some(ended) = self.changed(member).await {
                        return Err(ended);
                    }
                    if let Ok(current) = member.serving.residents.job(&member.job) {
                        job = current;
                    }
                    continue;
                }
            };
            let is_exempt = member
                .exempt_until
                .is_some_and(|until| Instant::now() < until);
            if !is_exempt {
                let counts = &prepared.counts;
                self.window
                    .add(self.began.elapsed(), counts.received, counts.rejected);
                if let Some((received, rejected)) = self.window.exceeded() {
                    // The batch is not sent: it is read again.
                    let sample = prepared.rejected.as_deref().unwrap_or_default();
                    let excess = Excess {
                        received,
                        rejected,
                        sample,
                    };
                    events::paused(member, &self.rules, &excess).await;
                    return Err(Ended::Paused);
                }
            }
            return Ok(Some(prepared));
        }
    }

    /// Looks at the job while a batch waits.
    async fn changed(&mut self, member: &StreamMember) -> Option<Ended> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        if let Ok(Some(_)) = member.paused().await {
            return Some(Ended::Paused);
        }
        match member.serving.residents.job(&member.job) {
            Ok(job) if job.job.stream != self.rules => Some(Ended::Changed),
            _ => None,
        }
    }

    async fn prepare_once(
        &mut self,
        member: &StreamMember,
        job: &Arc<ServedJob>,
        batch: &Batch,
    ) -> Result<ReadyBatch, NotReady> {
        let store = &member.serving.store;
        let waiting = |error: StoreError| NotReady::Waiting(error.to_string());
        if !matches!(&self.layout, Some((known, _)) if Arc::ptr_eq(known, job)) {
            let writes = self
                .rules
                .input
                .as_ref()
                .is_some_and(|input| input.is_upserted);
            self.preparation.writer = match writes {
                true => Some(
                    store
                        .source_writer(&job.job.source)
                        .await
                        .map_err(waiting)?,
                ),
                false => None,
            };
            self.layout = Some((Arc::clone(job), RowLayout::new(&job.job)));
        }
        let Some((_, layout)) = &self.layout else {
            return Err(NotReady::Waiting("the job is not ready".to_owned()));
        };
        let hints = (&mut self.hints, store, member.job.as_str());
        let mut ready = self
            .preparation
            .prepare(batch, job, layout, hints)
            .boxed()
            .await?;
        self.route(batch, &mut ready).boxed().await?;
        Ok(ready)
    }

    /// Sends predictions for topics that do not exist to the dead letters.
    async fn route(&mut self, batch: &Batch, ready: &mut ReadyBatch) -> Result<(), NotReady> {
        let Some(output) = &self.rules.output else {
            return Ok(());
        };
        let topics = ready
            .outgoing
            .iter()
            .map(|outgoing| outgoing.topic.clone())
            .collect();
        let missing = self.topics.missing(&self.producers[0], topics).await;
        let missing = missing.map_err(NotReady::Waiting)?;
        for topic in missing {
            let is_dead_letters = output.dead_letters.as_ref() == Some(&topic);
            if is_dead_letters || output.topic.column().is_none() {
                return Err(NotReady::Waiting(format!(
                    "topic `{topic}` does not exist; create it"
                )));
            }
            ready.undeliverable(
                batch,
                &topic,
                output.dead_letters.as_deref().unwrap_or_default(),
            );
        }
        Ok(())
    }
}
