//! What happens to a member of a group: partitions come and go, brokers fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use super::{
    POLL,
    queue::{Event, Lost, Queue},
};
use crate::{
    domain::job::stream::Ties,
    stream::{client, generation::Generation},
};

/// Time limit of a request about offsets.
const ASK: Duration = Duration::from_secs(5);
/// Committed offsets are asked for this long: those of a transaction under way are decided after
/// [`client::TRANSACTION_MS`] at the latest, and somewhat later on a busy broker.
const OFFSETS: Duration = Duration::from_secs(90);

/// Sees what happens to the consumer.
pub struct Membership {
    pub topic: String,
    pub queue: Queue,
    generation: Mutex<Option<Arc<Generation>>>,
    /// What keeps the client from its brokers, as it last said.
    trouble: Mutex<Option<String>>,
    is_stopped: AtomicBool,
}

/// A consumer whose rebalances and errors are seen.
pub type Member = BaseConsumer<Membership>;

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
        let all_down = RDKafkaErrorCode::AllBrokersDown;
        if error.rdkafka_error_code() == Some(all_down) {
            self.note_trouble(format!("no broker can be reached: {reason}"));
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
            self.queue.send(Event::Failed(error));
        }
    }
}

impl Membership {
    /// Returns a membership without partitions, whose events go to `queue`.
    pub fn new(topic: &str, queue: Queue) -> Self {
        Self {
            topic: topic.to_owned(),
            queue,
            generation: Mutex::default(),
            trouble: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Returns the generation in which this member has partitions.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        lock(&self.generation).clone()
    }

    /// Returns what keeps the client from its brokers.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub fn note_trouble(&self, trouble: String) {
        *lock(&self.trouble) = Some(trouble);
    }

    pub fn clear_trouble(&self) {
        *lock(&self.trouble) = None;
    }

    /// Ends the generation. It is removed first, so that a report does not wait, too, for the
    /// transaction under way.
    pub fn end_generation(&self) {
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
        self.clear_trouble();
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
        self.queue.send(Event::Lost(Lost {
            partition,
            from: position,
            to: low,
        }));
        Ok(low)
    }

    /// Looks for partitions whose position is gone, while they are assigned.
    pub fn relocate(&self, consumer: &Member) -> Result<(), String> {
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

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Asks the thread that polls to leave the group.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
