//! A topic of requests for runs: each message becomes one row of `run_requests`, which a worker
//! answers like any other.
//!
//! A message is committed once its row is acknowledged by Cassandra, or its dead letter by Kafka. If
//! this process dies in between, it is read again and gives the same row, because the row's id is
//! derived from the message's place and time.

use std::time::Duration;

use chrono::Utc;
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio::sync::watch;

use super::client::{Events, consumer_config, log, producer};
use crate::{
    domain::{
        job::stream::message::{ERROR, ERROR_CODE, SOURCE, source},
        problem::Problem,
        run::request_message::{RequestMessage, request_id},
    },
    failpoint,
    failure::Failure,
    store::{Store, runs::run_requests::RunRequest},
};

/// Pause before something is tried again that Cassandra or Kafka did not take.
const PAUSE: Duration = Duration::from_secs(1);
/// Time limit of one delivery; it is repeated until it succeeds.
const DELIVERY: Duration = Duration::from_secs(30);

/// Logs what the consumer reports.
struct RequestEvents;

impl ClientContext for RequestEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ConsumerContext for RequestEvents {}

/// Turns the messages of a topic into requests until asked to stop.
pub struct RequestTopic {
    store: Store,
    consumer: StreamConsumer<RequestEvents>,
    producer: FutureProducer<Events>,
    topic: String,
    dead_letters: String,
    stop: watch::Receiver<bool>,
}

impl RequestTopic {
    /// Joins the group that reads `topic`. Messages that are not requests go to `dead_letters`.
    ///
    /// # Errors
    /// Exit 2: Kafka's settings.
    pub fn join(
        store: &Store,
        (topic, dead_letters): (&str, &str),
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let kafka = &store.config().kafka;
        let group = format!("helenus.{}.requests", store.config().keyspace);
        // What expired in the topic would be refused as too old anyway.
        let consumer: StreamConsumer<_> = consumer_config(kafka, &group)?
            .set("auto.offset.reset", "earliest")
            .create_with_context(RequestEvents)
            .map_err(|error| unusable(&error))?;
        consumer
            .subscribe(&[topic])
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            store: store.clone(),
            consumer,
            producer: producer(kafka)?,
            topic: topic.to_owned(),
            dead_letters: dead_letters.to_owned(),
            stop,
        })
    }

    /// Works until asked to stop.
    pub async fn keep(self) {
        tracing::info!(topic = self.topic, "reading requests for runs");
        while !*self.stop.borrow() {
            let received = tokio::select! {
                received = self.consumer.recv() => received,
                () = self.stopped() => break,
            };
            match received {
                Ok(message) => self.take(&message).await,
                Err(error) => {
                    tracing::warn!(topic = self.topic, %error, "reading requests");
                    self.pause().await;
                }
            }
        }
        // Leaving the group blocks.
        let consumer = self.consumer;
        let _ = tokio::task::spawn_blocking(move || drop(consumer)).await;
    }

    async fn take(&self, message: &BorrowedMessage<'_>) {
        let is_done = match request(message) {
            Ok(request) => self.insert(&request).await,
            Err(problem) => self.bury(message, &problem).await,
        };
        failpoint::hit("before_request_committed");
        if is_done && let Err(error) = self.consumer.commit_message(message, CommitMode::Async) {
            tracing::debug!(%error, "the message will be read again");
        }
    }

    /// Writes the row, as often as it takes. Returns `false` if this process was asked to stop.
    async fn insert(&self, request: &RunRequest) -> bool {
        loop {
            match self.store.insert_run_request(request).await {
                Ok(()) => {
                    let job = request.job.as_deref().unwrap_or_default();
                    tracing::info!(job, id = %request.id, "a message asks for a run");
                    return true;
                }
                Err(error) => {
                    tracing::warn!(%error, "a request could not be written; trying again")
                }
            }
            if !self.pause().await {
                return false;
            }
        }
    }

    /// Sends a message on as a dead letter, as often as it takes. Returns `false` if this process was
    /// asked to stop.
    async fn bury(&self, message: &BorrowedMessage<'_>, problem: &Problem) -> bool {
        let (partition, offset) = (message.partition(), message.offset());
        let reason = problem.line();
        tracing::warn!(
            topic = self.topic,
            partition,
            offset,
            reason,
            "not a request"
        );
        let mut headers = OwnedHeaders::new();
        for header in message.headers().into_iter().flat_map(|all| all.iter()) {
            headers = headers.insert(header);
        }
        let place = source(&self.topic, partition, offset);
        for (key, value) in [
            (ERROR_CODE, problem.code.as_str()),
            (ERROR, &reason),
            (SOURCE, &place),
        ] {
            let value = Some(value);
            headers = headers.insert(Header { key, value });
        }
        loop {
            let mut record = FutureRecord::<[u8], [u8]>::to(&self.dead_letters);
            record.key = message.key();
            record.payload = message.payload();
            let record = record.headers(headers.clone());
            match self.producer.send(record, DELIVERY).await {
                Ok(_) => return true,
                Err((error, _)) => {
                    tracing::warn!(topic = self.dead_letters, %error, "a dead letter was not taken; trying again");
                }
            }
            if !self.pause().await {
                return false;
            }
        }
    }

    async fn stopped(&self) {
        // A sender that is gone asks to stop, too.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Waits a little. Returns `false` if this process was asked to stop.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => true,
            () = self.stopped() => false,
        }
    }
}

fn unusable(error: &KafkaError) -> Failure {
    let message = format!("requests cannot be read from Kafka: {error}");
    Failure::input(Problem::new("kafka.settings", message).at("kafka.requests"))
}

/// Returns the row of a message.
fn request(message: &BorrowedMessage<'_>) -> Result<RunRequest, Problem> {
    let wish = RequestMessage::parse(message.payload())?;
    let place = (message.topic(), message.partition(), message.offset());
    let (at, id) = request_id(place, message.timestamp().to_millis(), Utc::now())?;
    let (keys, token_from, token_to) = (wish.keys()?, wish.token_from()?, wish.token_to()?);
    Ok(RunRequest {
        day: at.date_naive(),
        id,
        action: wish.action,
        job: wish.job,
        target_run: wish.target_run,
        scope: wish.scope,
        keys,
        token_from,
        token_to,
        versions: wish.versions.filter(|versions| !versions.is_empty()),
        priority: wish.priority,
        max_rows_per_s: wish.max_rows_per_s,
        deadline: wish.deadline,
        dedupe_key: wish.dedupe_key,
        requested_by: wish
            .requested_by
            .or_else(|| Some(format!("kafka:{}", message.topic()))),
        note: wish.note,
        options: wish.options,
    })
}
