//! Sends the predictions of runs to Kafka, at least once.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    future::{BoxFuture, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer},
    types::RDKafkaErrorCode,
};

use super::client::{Events, headers, producer_config};
use crate::{
    config::Kafka,
    domain::{job::stream::message::EncodedMessage, problem::Problem},
    engine::run::outbox::{OutgoingMessage, PredictionSink, SendError},
};

/// Longest time from a message's hand-over to its acknowledgement. Then the split is given back and
/// claimed again, so that the run does not hang on a broker that is away.
const DELIVERY_MS: &str = "30000";
/// Longest time until a topic that the broker does not know is taken for missing.
const UNKNOWN_TOPIC_MS: &str = "5000";
/// Time limit for asking a broker which partitions a topic has.
const METADATA: Duration = Duration::from_secs(10);
/// Pause before a message is handed over again for which the client has no room.
const FULL: Duration = Duration::from_millis(5);

/// The topics that runs send to; it connects when the first prediction is sent.
pub struct KafkaSink {
    kafka: Kafka,
    producer: Mutex<Option<FutureProducer<Events>>>,
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink")
            .field("brokers", &self.kafka.brokers)
            .finish_non_exhaustive()
    }
}

impl KafkaSink {
    pub fn new(kafka: &Kafka) -> Self {
        Self {
            kafka: kafka.clone(),
            producer: Mutex::default(),
        }
    }

    /// Returns the one producer of this process, which is made on first use.
    fn producer(&self) -> Result<FutureProducer<Events>, SendError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = producer.as_ref() {
            return Ok(producer.clone());
        }
        let config = producer_config(&self.kafka);
        let mut config = config.map_err(|failure| passing(failure.to_string()))?;
        let made = config
            .set("message.timeout.ms", DELIVERY_MS)
            .set("topic.metadata.propagation.max.ms", UNKNOWN_TOPIC_MS)
            .create_with_context(Events)
            .map_err(|error| passing(format!("Kafka's client cannot be made: {error}")))?;
        Ok(producer.insert(made).clone())
    }

    /// Forgets the producer after an error that it does not recover from.
    fn forget_fatal(&self, producer: &FutureProducer<Events>) {
        if producer.client().fatal_error().is_some() {
            let mut held = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
            *held = None;
        }
    }

    async fn send_all(&self, messages: Vec<OutgoingMessage>) -> Result<(), SendError> {
        let producer = self.producer()?;
        let mut sent = Vec::with_capacity(messages.len());
        for OutgoingMessage { topic, message } in &messages {
            sent.push(hand_over(&producer, topic, None, message).await?);
        }
        let outcomes = join_all(sent).await;
        for (outcome, OutgoingMessage { topic, .. }) in outcomes.into_iter().zip(&messages) {
            let outcome = outcome.map_err(|_| passing("Kafka's client was closed".to_owned()))?;
            if let Err((error, _)) = outcome {
                self.forget_fatal(&producer);
                return Err(unsent(topic, &error));
            }
        }
        Ok(())
    }

    async fn announce_all(
        &self,
        topics: Vec<String>,
        message: EncodedMessage,
        may_lack: bool,
    ) -> Result<(), SendError> {
        let producer = self.producer()?;
        let mut sent = FuturesUnordered::new();
        for topic in topics {
            let Some(partitions) = partitions(&producer, &topic, may_lack).await? else {
                continue;
            };
            for partition in 0..partitions {
                let delivery = hand_over(&producer, &topic, Some(partition), &message).await?;
                let topic = topic.clone();
                sent.push(async move { (topic, delivery.await) });
            }
        }
        while let Some((topic, outcome)) = sent.next().await {
            let outcome = outcome.map_err(|_| passing("Kafka's client was closed".to_owned()))?;
            if let Err((error, _)) = outcome {
                self.forget_fatal(&producer);
                return Err(unsent(&topic, &error));
            }
        }
        Ok(())
    }
}

impl PredictionSink for KafkaSink {
    fn unready(&self) -> Option<Problem> {
        let config = producer_config(&self.kafka).err()?;
        config.problems.into_iter().next()
    }

    fn send(&self, messages: Vec<OutgoingMessage>) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.send_all(messages))
    }

    fn announce(
        &self,
        topics: Vec<String>,
        message: EncodedMessage,
        may_lack: bool,
    ) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.announce_all(topics, message, may_lack))
    }
}

/// Gives a message to the client, which waits for the broker.
async fn hand_over(
    producer: &FutureProducer<Events>,
    topic: &str,
    partition: Option<i32>,
    message: &EncodedMessage,
) -> Result<DeliveryFuture, SendError> {
    loop {
        let mut record = FutureRecord::to(topic)
            .key(&message.key)
            .payload(&message.value)
            .headers(headers(&message.headers));
        record.partition = partition;
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                tokio::time::sleep(FULL).await;
            }
            Err((error, _)) => return Err(unsent(topic, &error)),
        }
    }
}

/// Returns how many partitions a topic has; `None` if there is no such topic and there need not be.
async fn partitions(
    producer: &FutureProducer<Events>,
    topic: &str,
    may_lack: bool,
) -> Result<Option<i32>, SendError> {
    let (asking, name) = (producer.clone(), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let found = asking.client().fetch_metadata(Some(&name), METADATA)?;
        let topic = found.topics().iter().find(|topic| topic.name() == name);
        Ok(topic.map(|topic| match topic.error() {
            None => Ok(topic.partitions().len() as i32),
            Some(error) => Err(RDKafkaErrorCode::from(error)),
        }))
    });
    let asked: Result<_, KafkaError> = asked
        .await
        .map_err(|error| passing(format!("asking for the topic `{topic}`: {error}")))?;
    match asked {
        Ok(Some(Ok(partitions))) => Ok(Some(partitions)),
        Ok(None | Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition))) if may_lack => Ok(None),
        Ok(None) => Err(unsent(
            topic,
            &KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition),
        )),
        Ok(Some(Err(code))) => Err(unsent(topic, &KafkaError::MetadataFetch(code))),
        Err(error) => Err(unsent(topic, &error)),
    }
}

/// An error that may pass, or that an administrator can end.
fn passing(detail: String) -> SendError {
    SendError {
        detail,
        is_lasting: false,
    }
}

fn unsent(topic: &str, error: &KafkaError) -> SendError {
    let code = error.rdkafka_error_code();
    let advice = match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            "; create the topic"
        }
        Some(RDKafkaErrorCode::MessageTimedOut) => "; is the broker there?",
        _ => "",
    };
    SendError {
        detail: format!("sending to the topic `{topic}`: {error}{advice}"),
        // The same prediction is as large the next time.
        is_lasting: code == Some(RDKafkaErrorCode::MessageSizeTooLarge),
    }
}

/// Returns what sends the predictions of runs.
pub fn prediction_sink(kafka: &Kafka) -> Arc<dyn PredictionSink> {
    Arc::new(KafkaSink::new(kafka))
}
