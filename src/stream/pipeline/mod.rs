//! From messages to committed transactions: while one batch is committed, the next one is scored.

mod prepare;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    batch::{Batch, Preparation, ReadyBatch},
    committer::Committer,
    decode::RowLayout,
    events,
    handover::{Handover, handover},
    hints::HintWriter,
    member::StreamMember,
    reader::{Event, Received, TopicReader, size},
    registry::Registry,
    report::StreamState,
    slot::{Producers, Slot, group},
    topics::KnownTopics,
};
use crate::{
    domain::{
        job::stream::{RejectionWindow, StreamRules},
        problem::Problem,
    },
    failure::Failure,
    serve::residents::ServedJob,
};

/// Most messages and bytes of a batch.
const MAX_MESSAGES: usize = 2_000;
const MAX_BYTES: usize = 8 << 20;
/// Interval at which the job is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why a member reads no more.
#[derive(Debug)]
pub enum Ended {
    /// The process stops.
    Stopped,
    /// The job has no stream.
    Gone,
    /// Its rules changed.
    Changed,
    Paused,
    Failed(String),
}

/// Reads one topic, in one slot, until something changes.
pub struct Pipeline {
    reader: TopicReader,
    rules: Arc<StreamRules>,
    preparation: Preparation,
    layout: Option<(Arc<ServedJob>, RowLayout)>,
    ready: Option<Handover<ReadyBatch>>,
    committing: JoinHandle<String>,
    window: RejectionWindow,
    began: Instant,
    /// The first message of the next batch.
    held: Option<Received>,
    looked: Instant,
    topics: KnownTopics,
    producers: Producers,
    hints: HintWriter,
}

impl Pipeline {
    /// Joins the group.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn start(
        member: &StreamMember,
        slot: &Slot,
        rules: Arc<StreamRules>,
    ) -> Result<Self, Failure> {
        let config = member.serving.store.config();
        let Some(input) = &rules.input else {
            return Err(Failure::input(Problem::new(
                "stream.none",
                "the job has no stream",
            )));
        };
        let group = group(&member.serving.store, &member.job);
        let reader = TopicReader::start(&config.kafka, &group, &input.topic)?;
        member
            .report
            .reads(&input.topic, slot.number, reader.ends());
        let (sender, ready) = handover();
        let committer = Committer {
            producers: slot.producers.clone(),
            topic: input.topic.clone(),
            report: Arc::clone(&member.report),
        };
        Ok(Self {
            reader,
            preparation: Preparation {
                rules: Arc::clone(&rules),
                registry: Registry::new(&config.kafka),
                writer: None,
                ties: BTreeMap::new(),
                generation: None,
                max_bytes: config.serve.max_body_mib << 20,
                known_unknown: Default::default(),
            },
            layout: None,
            ready: Some(sender),
            committing: tokio::spawn(committer.run(ready)),
            window: RejectionWindow::new(input.window, input.max_rejected),
            began: Instant::now(),
            held: None,
            looked: Instant::now(),
            topics: KnownTopics::default(),
            producers: slot.producers.clone(),
            hints: HintWriter::default(),
            rules,
        })
    }

    /// Reads until something ends it.
    pub async fn run(
        &mut self,
        member: &StreamMember,
        mut job: Arc<ServedJob>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        loop {
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                if let Some(ended) = self.check(member).await {
                    return ended;
                }
            }
            let first = match self.held.take() {
                Some(held) => Event::Message(held),
                // Nothing is taken by a branch that is not chosen.
                None => tokio::select! {
                    event = self.reader.next() => match event {
                        Some(event) => event,
                        None => return Ended::Failed("the reader has ended".to_owned()),
                    },
                    why = &mut self.committing => {
                        return Ended::Failed(why.unwrap_or_else(|error| error.to_string()));
                    }
                    _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
                    () = tokio::time::sleep(LOOK) => continue,
                },
            };
            tokio::select! {
                () = self.turn() => {}
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
            }
            let batch = match self.gather(member, first).await {
                Ok(Some(batch)) => batch,
                Ok(None) => continue,
                Err(ended) => return ended,
            };
            if let Ok(current) = member.serving.residents.job(&member.job) {
                job = current;
            }
            if job.job.stream != self.rules {
                return Ended::Changed;
            }
            let ready = tokio::select! {
                ready = self.prepare(member, &job, batch) => ready,
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
            };
            let ready = match ready {
                Ok(Some(ready)) => ready,
                Ok(None) => continue,
                Err(ended) => return ended,
            };
            if let Some(handover) = &self.ready {
                // If the committer has ended, it says why in the next round.
                handover.send(ready).await;
            }
        }
    }

    /// Commits what is ready, and leaves the group.
    pub async fn leave(mut self, member: &StreamMember) {
        drop(self.ready.take());
        if !self.committing.is_finished() {
            let _ = (&mut self.committing).await;
        }
        let report = &member.report;
        report.write_last_positions(&member.serving.store).await;
        let Self {
            reader, producers, ..
        } = self;
        // The last ones to hold librdkafka's handles wait for its threads.
        let _ = tokio::task::spawn_blocking(move || drop((reader, producers))).await;
    }

    /// Returns why reading ends, if it does.
    async fn check(&mut self, member: &StreamMember) -> Option<Ended> {
        match member.paused().await {
            Ok(Some(_)) => return Some(Ended::Paused),
            Ok(None) => {}
            Err(error) => {
                member
                    .report
                    .state(StreamState::Waiting, Some(&error.to_string()));
                return None;
            }
        }
        match self.reader.trouble() {
            Some(trouble) => {
                self.reader.probe();
                member.report.state(StreamState::Waiting, Some(&trouble));
            }
            None => member.report.state(StreamState::Running, None),
        }
        match member.serving.residents.job(&member.job) {
            Ok(job) if job.job.stream != self.rules => Some(Ended::Changed),
            _ => None,
        }
    }

    fn input_topic(&self) -> &str {
        let input = self.rules.input.as_ref();
        input.map(|input| input.topic.as_str()).unwrap_or_default()
    }

    /// Waits until it is time to make a batch.
    async fn turn(&self) {
        if let Some(handover) = &self.ready {
            let has_many = || self.reader.queued() >= MAX_MESSAGES;
            handover.turn(has_many).await;
        }
    }

    /// Takes what is there with the first event. Messages that were taken are gone from the queue, so
    /// this must not be dropped half-way.
    async fn gather(
        &mut self,
        member: &StreamMember,
        first: Event,
    ) -> Result<Option<Batch>, Ended> {
        let Some(first) = self.message(member, first).await? else {
            return Ok(None);
        };
        let mut bytes = size(&first.message);
        let generation = first.generation;
        let mut messages = vec![first.message];
        while messages.len() < MAX_MESSAGES && bytes < MAX_BYTES {
            let Some(event) = self.reader.next_now() else {
                break;
            };
            let Some(received) = self.message(member, event).await? else {
                continue;
            };
            if !Arc::ptr_eq(&received.generation, &generation) {
                self.held = Some(received);
                break;
            }
            bytes += size(&received.message);
            messages.push(received.message);
        }
        Ok(Some(Batch {
            generation,
            messages,
        }))
    }

    async fn message(
        &mut self,
        member: &StreamMember,
        event: Event,
    ) -> Result<Option<Received>, Ended> {
        match event {
            Event::Message(received) if received.generation.is_over() => Ok(None),
            Event::Message(received) => Ok(Some(received)),
            Event::Lost(lost) => {
                events::lost(member, self.input_topic(), &lost).await;
                Ok(None)
            }
            Event::Failed(why) => Err(Ended::Failed(why)),
        }
    }
}
