//! Reads a topic as a member of its group: a thread that polls without a pause, and a queue behind
//! it.
//!
//! A rebalance ends a [`Generation`]. What was read in it is committed with its metadata, which the
//! broker refuses once the generation is over: a member that was frozen cannot commit for one that
//! took its partitions over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedMessage,
    types::RDKafkaRespErr,
};
use tokio::sync::mpsc;

use super::{client, generation::Generation};
use crate::{config::Kafka, domain::job::stream::Ties, failure::Failure};

/// Messages and bytes that may wait in the queue.
const MAX_QUEUED: usize = 8_192;
const MAX_QUEUED_BYTES: usize = 32 << 20;
/// Longest wait for a place in the queue; then the partitions are paused and polling goes on.
const WAIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);
/// Time limit of a request about offsets.
const ASK: Duration = Duration::from_secs(5);
/// Committed offsets are asked for this long: those of a transaction under way are decided after
/// [`client::TRANSACTION_MS`] at the latest, and somewhat later on a busy broker.
const OFFSETS: Duration = Duration::from_secs(90);

/// What happened.
pub enum Event {
    Message(Received),
    /// Messages were gone before they were read.
    Lost(Lost),
    /// This reader cannot go on; another one may.
    Failed(String),
}

/// A message with the generation in which it was read.
pub struct Received {
    pub generation: Arc<Generation>,
    pub message: OwnedMessage,
}

/// Messages of a partition that are no longer in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub partition: i32,
    /// Offset of the first one.
    pub from: i64,
    /// Where reading goes on.
    pub to: i64,
}

/// Sees what happens to the consumer.
pub struct Membership {
    topic: String,
    events: mpsc::UnboundedSender<Event>,
    generation: Mutex<Option<Arc<Generation>>>,
    /// What keeps the client from its brokers, as it last said.
    trouble: Mutex<Option<String>>,
    is_stopped: AtomicBool,
}

type Member = BaseConsumer<Membership>;

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
        let all_down = RDKafkaErrorCode::AllBrokersDown;
        if error.rdkafka_error_code() == Some(all_down) {
            *lock(&self.trouble) = Some(format!("no broker can be reached: {reason}"));
        }
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &Member,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.end_generation();
        let outcome = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            _ => consumer.unassign().map_err(|error| error.to_string()),
        };
        if let Err(error) = outcome {
            let _ = consumer.unassign();
            self.send(Event::Failed(error));
        }
    }
}

impl Membership {
    /// Ends the generation. It is removed first, so that a report does not wait, too, for the
    /// transaction under way.
    fn end_generation(&self) {
        let generation = lock(&self.generation).take();
        if let Some(generation) = generation {
            generation.end();
        }
    }

    fn assign(&self, consumer: &Member, partitions: &mut TopicPartitionList) -> Result<(), String> {
        let text = |error: KafkaError| error.to_string();
        let committed = self.committed(consumer, partitions)?;
        let (mut starts, mut ties) = (BTreeMap::new(), BTreeMap::new());
        for element in committed.elements() {
            let partition = element.partition();
            let start = match element.offset() {
                Offset::Offset(position) => {
                    ties.insert(
                        partition,
                        Ties::parse(element.metadata()).unwrap_or_default(),
                    );
                    let available = self.available(consumer, partition, position)?;
                    starts.insert(partition, available);
                    Offset::Offset(available)
                }
                _ => Offset::Beginning,
            };
            partitions
                .set_partition_offset(&self.topic, partition, start)
                .map_err(text)?;
        }
        let metadata = consumer.group_metadata();
        let metadata = metadata.ok_or("the consumer has no group")?;
        let generation = Arc::new(Generation::new(metadata, starts, ties));
        consumer.assign(partitions).map_err(text)?;
        tracing::info!(
            topic = self.topic,
            partitions = partitions.count(),
            "partitions assigned"
        );
        *lock(&self.generation) = Some(generation);
        *lock(&self.trouble) = None;
        Ok(())
    }

    /// Asks for committed offsets until they are decided.
    fn committed(
        &self,
        consumer: &Member,
        partitions: &TopicPartitionList,
    ) -> Result<TopicPartitionList, String> {
        let began = Instant::now();
        loop {
            let committed = consumer.committed_offsets(partitions.clone(), ASK);
            let committed = committed.and_then(|committed| {
                let mut elements = committed.elements().into_iter();
                elements.try_for_each(|element| element.error())?;
                Ok(committed)
            });
            match committed {
                Ok(committed) => return Ok(committed),
                Err(error) if began.elapsed() > OFFSETS || self.is_stopped() => {
                    return Err(format!("the committed offsets cannot be read: {error}"));
                }
                Err(error) => {
                    tracing::debug!(%error, "asking for the committed offsets again");
                    thread::sleep(POLL);
                }
            }
        }
    }

    /// Returns a position, or the beginning of the partition if it does not reach back that far.
    fn available(&self, consumer: &Member, partition: i32, position: i64) -> Result<i64, String> {
        let (low, high) = consumer
            .fetch_watermarks(&self.topic, partition, ASK)
            .map_err(|error| error.to_string())?;
        if (low..=high).contains(&position) {
            return Ok(position);
        }
        self.send(Event::Lost(Lost {
            partition,
            from: position,
            to: low,
        }));
        Ok(low)
    }

    /// Looks for partitions whose position is gone, while they are assigned.
    fn relocate(&self, consumer: &Member) -> Result<(), String> {
        let positions = consumer.position().map_err(|error| error.to_string())?;
        for element in positions.elements() {
            let Offset::Offset(position) = element.offset() else {
                continue;
            };
            let partition = element.partition();
            let available = self.available(consumer, partition, position)?;
            if available != position {
                consumer
                    .seek(&self.topic, partition, Offset::Offset(available), ASK)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn send(&self, event: Event) {
        // Nobody listens any more while the reader is dropped.
        let _ = self.events.send(event);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What waits in the queue.
#[derive(Debug, Default)]
struct Queued {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Queued {
    fn add(&self, message: &OwnedMessage) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size(message), Ordering::Relaxed);
    }

    fn remove(&self, message: &OwnedMessage) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size(message), Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.messages.load(Ordering::Relaxed) >= MAX_QUEUED
            || self.bytes.load(Ordering::Relaxed) >= MAX_QUEUED_BYTES
    }
}

/// Returns the size of a message that counts.
pub fn size(message: &OwnedMessage) -> usize {
    message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len)
}

/// A member of a group that reads.
pub struct TopicReader {
    events: mpsc::UnboundedReceiver<Event>,
    queued: Arc<Queued>,
    consumer: Arc<Member>,
}

impl TopicReader {
    /// Joins the group and reads.
    ///
    /// # Errors
    /// Those of [`client::consumer`], or the topic's name.
    pub fn start(kafka: &Kafka, group: &str, topic: &str) -> Result<Self, Failure> {
        let (sender, events) = mpsc::unbounded_channel();
        let membership = Membership {
            topic: topic.to_owned(),
            events: sender,
            generation: Mutex::default(),
            trouble: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        };
        let consumer = client::consumer(kafka, group, membership)?;
        consumer.subscribe(&[topic]).map_err(client::invalid)?;
        let consumer = Arc::new(consumer);
        let queued = Arc::new(Queued::default());
        let (polled, counted) = (Arc::clone(&consumer), Arc::clone(&queued));
        thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || poll(&polled, &counted))
            .map_err(|error| client::no_thread(&error))?;
        Ok(Self {
            events,
            queued,
            consumer,
        })
    }

    /// Returns the next event; `None` once the reader has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.taken(event)
    }

    /// Returns an event that has happened already.
    pub fn next_now(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.taken(event)
    }

    /// Returns how many messages wait to be taken.
    pub fn queued(&self) -> usize {
        self.queued.messages.load(Ordering::Relaxed)
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        if let Some(Event::Message(received)) = &event {
            self.queued.remove(&received.message);
        }
        event
    }

    /// Returns what keeps the client from its brokers.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.consumer.context().trouble).clone()
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
                *lock(&context.trouble) = None;
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
        self.consumer
            .context()
            .is_stopped
            .store(true, Ordering::Release);
    }
}

/// Asks which partitions a member has, and where they end.
pub struct PartitionEnds(Arc<Member>);

impl PartitionEnds {
    /// Returns what the member has now.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        lock(&self.0.context().generation).clone()
    }

    /// Returns the offset after the last message of a partition. Blocks for a second at most.
    pub fn end(&self, partition: i32) -> Option<i64> {
        let topic = &self.0.context().topic;
        let watermarks = self
            .0
            .fetch_watermarks(topic, partition, Duration::from_secs(1));
        let mut trouble = lock(&self.0.context().trouble);
        match watermarks {
            Ok((_, high)) => {
                *trouble = None;
                Some(high)
            }
            Err(error) => {
                *trouble = Some(format!(
                    "the broker of partition {partition} does not answer: {error}"
                ));
                None
            }
        }
    }
}

fn poll(consumer: &Member, queued: &Queued) {
    let membership = consumer.context();
    while !membership.is_stopped() {
        if queued.is_full() {
            wait_for_place(consumer, queued);
        }
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => push(membership, queued, message.detach()),
            Some(Err(error)) => {
                if let Err(error) = handle(consumer, error) {
                    membership.send(Event::Failed(error));
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

fn push(membership: &Membership, queued: &Queued, message: OwnedMessage) {
    let generation = lock(&membership.generation).clone();
    // Without a generation it is one of partitions that were just given back.
    if let Some(generation) = generation {
        *lock(&membership.trouble) = None;
        queued.add(&message);
        membership.send(Event::Message(Received {
            generation,
            message,
        }));
    }
}

/// Waits until the queue has a place. A short wait costs nothing; during a long one the group would
/// think that this member is gone, so partitions are paused and polling goes on.
fn wait_for_place(consumer: &Member, queued: &Queued) {
    let membership = consumer.context();
    let began = Instant::now();
    while queued.is_full() && began.elapsed() < WAIT && !membership.is_stopped() {
        thread::sleep(Duration::from_millis(2));
    }
    while queued.is_full() && !membership.is_stopped() {
        // Also those that were assigned meanwhile.
        if let Ok(assigned) = consumer.assignment() {
            let _ = consumer.pause(&assigned);
        }
        if let Some(Ok(message)) = consumer.poll(POLL) {
            push(membership, queued, message.detach());
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
            *lock(&membership.trouble) = Some("no broker can be reached".to_owned());
        }
        (_, Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            let topic = &membership.topic;
            *lock(&membership.trouble) = Some(format!("topic `{topic}` does not exist"));
        }
        (
            _,
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ),
        ) => *lock(&membership.trouble) = Some(error.to_string()),
        _ => {}
    }
    tracing::debug!(%error, "Kafka");
    Ok(())
}
