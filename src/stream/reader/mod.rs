//! Reads a topic as a member of its group: a thread that polls without a pause, and a queue behind
//! it.
//!
//! A rebalance ends a [`Generation`]. What was read in it is committed with its metadata, which the
//! broker refuses once the generation is over: a member that was frozen cannot commit for one that
//! took its partitions over.

mod membership;
mod queue;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedMessage,
};

pub use queue::{Event, Lost, Received, size};

use membership::{Member, Membership};
use queue::Events;

use super::{client, generation::Generation};
use crate::{config::Kafka, failure::Failure};

/// Longest wait for a place in the queue; then the partitions are paused and polling goes on.
const WAIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);

/// A member of a group that reads.
pub struct TopicReader {
    events: Events,
    consumer: Arc<Member>,
}

impl TopicReader {
    /// Joins the group and reads.
    ///
    /// # Errors
    /// Those of [`client::consumer`], or the topic's name.
    pub fn start(kafka: &Kafka, group: &str, topic: &str) -> Result<Self, Failure> {
        let (queue, events) = queue::queue();
        let consumer = client::consumer(kafka, group, Membership::new(topic, queue))?;
        consumer.subscribe(&[topic]).map_err(client::invalid)?;
        let consumer = Arc::new(consumer);
        let polled = Arc::clone(&consumer);
        thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || poll(&polled))
            .map_err(|error| client::no_thread(&error))?;
        Ok(Self { events, consumer })
    }

    /// Returns the next event; `None` once the reader has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// Returns an event that has happened already.
    pub fn next_now(&mut self) -> Option<Event> {
        self.events.next_now()
    }

    /// Returns how many messages wait to be taken.
    pub fn queued(&self) -> usize {
        self.events.messages()
    }

    /// Returns what keeps the client from its brokers.
    pub fn trouble(&self) -> Option<String> {
        self.consumer.context().trouble()
    }

    /// Asks whether the brokers are back, in the background.
    pub fn probe(&self) {
        let consumer = Arc::clone(&self.consumer);
        tokio::task::spawn_blocking(move || {
            let context = consumer.context();
            let metadata = consumer.fetch_metadata(Some(&context.topic), Duration::from_secs(2));
            let is_there = metadata.is_ok_and(|metadata| {
                metadata
                    .topics()
                    .iter()
                    .any(|topic| topic.error().is_none())
            });
            if is_there {
                context.clear_trouble();
            }
        });
    }

    /// Returns what answers where partitions end.
    pub fn ends(&self) -> PartitionEnds {
        PartitionEnds(Arc::clone(&self.consumer))
    }
}

impl Drop for TopicReader {
    /// Leaves the group in the background, which may take a while.
    fn drop(&mut self) {
        self.consumer.context().stop();
    }
}

/// Asks which partitions a member has, and where they end.
pub struct PartitionEnds(Arc<Member>);

impl PartitionEnds {
    /// Returns what the member has now.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        self.0.context().generation()
    }

    /// Returns the offset after the last message of a partition. Blocks for a second at most.
    pub fn end(&self, partition: i32) -> Option<i64> {
        let membership = self.0.context();
        let second = Duration::from_secs(1);
        match self
            .0
            .fetch_watermarks(&membership.topic, partition, second)
        {
            Ok((_, high)) => {
                membership.clear_trouble();
                Some(high)
            }
            Err(error) => {
                membership.note_trouble(format!(
                    "the broker of partition {partition} does not answer: {error}"
                ));
                None
            }
        }
    }
}

fn poll(consumer: &Member) {
    let membership = consumer.context();
    while !membership.is_stopped() {
        if membership.queue.is_full() {
            wait_for_place(consumer);
        }
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => push(membership, message.detach()),
            Some(Err(error)) => {
                if let Err(error) = handle(consumer, error) {
                    membership.queue.send(Event::Failed(error));
                    break;
                }
            }
        }
    }
    membership.end_generation();
    consumer.unsubscribe();
    // The rebalance that follows gives the partitions back.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until && consumer.assignment().is_ok_and(|all| all.count() > 0) {
        drop(consumer.poll(POLL));
    }
}

fn push(membership: &Membership, message: OwnedMessage) {
    // Without a generation it is one of partitions that were just given back.
    if let Some(generation) = membership.generation() {
        membership.clear_trouble();
        membership.queue.send(Event::Message(Received {
            generation,
            message,
        }));
    }
}

/// Waits until the queue has a place. A short wait costs nothing; during a long one the group would
/// think that this member is gone, so partitions are paused and polling goes on.
fn wait_for_place(consumer: &Member) {
    let membership = consumer.context();
    let began = Instant::now();
    while membership.queue.is_full() && began.elapsed() < WAIT && !membership.is_stopped() {
        thread::sleep(Duration::from_millis(2));
    }
    while membership.queue.is_full() && !membership.is_stopped() {
        // Also those that were assigned meanwhile.
        if let Ok(assigned) = consumer.assignment() {
            let _ = consumer.pause(&assigned);
        }
        if let Some(Ok(message)) = consumer.poll(POLL) {
            push(membership, message.detach());
        }
    }
    if let Ok(assigned) = consumer.assignment() {
        let _ = consumer.resume(&assigned);
    }
}

fn handle(consumer: &Member, error: KafkaError) -> Result<(), String> {
    let membership = consumer.context();
    let code = error.rdkafka_error_code();
    match (&error, code) {
        (KafkaError::MessageConsumptionFatal(_), _) => return Err(error.to_string()),
        (_, Some(RDKafkaErrorCode::AutoOffsetReset)) => return membership.relocate(consumer),
        (_, Some(RDKafkaErrorCode::AllBrokersDown)) => {
            membership.note_trouble("no broker can be reached".to_owned());
        }
        (_, Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            let topic = &membership.topic;
            membership.note_trouble(format!("topic `{topic}` does not exist"));
        }
        (
            _,
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ),
        ) => membership.note_trouble(error.to_string()),
        _ => {}
    }
    tracing::debug!(%error, "Kafka");
    Ok(())
}
