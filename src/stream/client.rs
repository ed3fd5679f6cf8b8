//! Configured clients of Kafka.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{DeliveryResult, FutureProducer, FutureRecord, ProducerContext, ThreadedProducer},
};

use crate::{
    config::{Kafka, KafkaSecurity},
    domain::{job::stream::message::EncodedMessage, problem::Problem},
    failure::Failure,
};

/// After this time without a heartbeat the group gives a member's partitions to others.
pub const SESSION_MS: u32 = 10_000;
/// After this time the broker aborts a transaction whose producer is gone. Until then readers of
/// committed messages wait at its first message.
pub const TRANSACTION_MS: u32 = 15_000;
/// Largest message that is sent or fetched; a broker's own limit is usually far lower.
const MAX_MESSAGE: usize = 64 << 20;

/// Returns what all clients have in common.
///
/// # Errors
/// Exit 2: `kafka.brokers` is not set.
pub fn client_config(kafka: &Kafka) -> Result<ClientConfig, Failure> {
    let Some(brokers) = &kafka.brokers else {
        return Err(Failure::input(
            Problem::new("kafka.no_brokers", "Kafka's brokers are not set")
                .at("kafka.brokers")
                .help("set kafka.brokers (HELENUS_KAFKA_BROKERS) to host:port"),
        ));
    };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "helenus")
        .set("security.protocol", kafka.security.name())
        .set("socket.timeout.ms", "15000")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(login) = &kafka.sasl {
        config
            .set("sasl.mechanism", &login.mechanism)
            .set("sasl.username", &login.username)
            .set("sasl.password", login.password.reveal());
    }
    if matches!(kafka.security, KafkaSecurity::Ssl | KafkaSecurity::SaslSsl) {
        let ca = kafka.tls_ca.as_ref().map(|path| path.display().to_string());
        config.set("ssl.ca.location", ca.as_deref().unwrap_or("probe"));
        if let Some((cert, key)) = &kafka.tls_client {
            config
                .set("ssl.certificate.location", cert.display().to_string())
                .set("ssl.key.location", key.display().to_string());
        }
    }
    Ok(config)
}

/// Returns the settings of a member of a group. It commits nothing by itself and reads committed
/// messages only. A partition without a position is read from its beginning; where a position is no
/// longer in the topic, consuming fails, because messages were lost.
///
/// # Errors
/// Those of [`client_config`].
pub fn consumer_config(kafka: &Kafka, group: &str) -> Result<ClientConfig, Failure> {
    let mut config = client_config(kafka)?;
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        // Eager: every rebalance ends what is in progress, so a batch belongs to one generation.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", SESSION_MS.to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", "300000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("fetch.message.max.bytes", "4194304")
        .set(
            "receive.message.max.bytes",
            (MAX_MESSAGE + (1 << 20)).to_string(),
        )
        .set("queued.max.messages.kbytes", "32768")
        .set("fetch.wait.max.ms", "100");
    Ok(config)
}

/// Returns the settings of a producer: idempotent, acknowledged by all replicas in sync.
///
/// # Errors
/// Those of [`client_config`].
pub fn producer_config(kafka: &Kafka) -> Result<ClientConfig, Failure> {
    let mut config = client_config(kafka)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("compression.type", "lz4")
        .set("message.max.bytes", MAX_MESSAGE.to_string())
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144");
    Ok(config)
}

/// Makes a consumer whose events `context` sees.
///
/// # Errors
/// Exit 2: a setting is invalid, a certificate cannot be read.
pub fn consumer<C: ConsumerContext + 'static>(
    kafka: &Kafka,
    group: &str,
    context: C,
) -> Result<BaseConsumer<C>, Failure> {
    consumer_config(kafka, group)?
        .create_with_context(context)
        .map_err(invalid)
}

/// Makes a producer without transactions, for messages that are sent at least once.
///
/// # Errors
/// Exit 2: a setting is invalid, a certificate cannot be read.
pub fn producer(kafka: &Kafka) -> Result<FutureProducer<Events>, Failure> {
    producer_config(kafka)?
        .create_with_context(Events)
        .map_err(invalid)
}

/// Makes a producer of transactions. Its first call must be `init_transactions`, which fences every
/// other producer with this id and aborts what that left open.
///
/// # Errors
/// Exit 2: a setting is invalid, a certificate cannot be read.
pub fn transactional_producer(kafka: &Kafka, id: &str) -> Result<TransactionalProducer, Failure> {
    producer_config(kafka)?
        // A batch's messages are there before their partitions are part of the transaction, which takes
        // longer than this.
        .set("linger.ms", "0.5")
        // How soon offsets are sent again that come before the markers of the transaction before.
        .set("retry.backoff.ms", "2")
        .set("transactional.id", id)
        .set("transaction.timeout.ms", TRANSACTION_MS.to_string())
        .create_with_context(Deliveries::default())
        .map_err(invalid)
}

/// A producer of transactions; see [`transactional_producer`].
pub type TransactionalProducer = ThreadedProducer<Deliveries>;

/// Logs what clients report.
#[derive(Debug, Clone, Copy)]
pub struct Events;

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }
}

/// Logs what a client reports. Lost connections are made again by the client itself.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::warn!(facility, message, "Kafka"),
        _ => tracing::debug!(facility, message, "Kafka"),
    }
}

/// Collects the messages that the broker did not take. Messages are told apart by a number.
#[derive(Debug, Default)]
pub struct Deliveries {
    failed: Mutex<Vec<(usize, KafkaError)>>,
}

impl Deliveries {
    /// Adds a message that the client itself did not take.
    pub fn add_failed(&self, number: usize, error: KafkaError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push((number, error));
    }

    /// Returns the messages that failed since the last call.
    pub fn take_failed(&self) -> Vec<(usize, KafkaError)> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut failed)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Err((error, _)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.push((number, error.clone()));
        }
    }
}

/// Returns headers as Kafka's client takes them.
pub fn headers(headers: &[(&'static str, String)]) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(all, |all, (key, value)| {
        all.insert(Header {
            key,
            value: Some(value.as_str()),
        })
    })
}

/// Sends a message outside of a transaction and waits until it is acknowledged.
///
/// # Errors
/// The broker did not take it within `queue_time`, or it could not be queued.
pub async fn send(
    producer: &FutureProducer<Events>,
    topic: &str,
    message: &EncodedMessage,
    queue_time: Duration,
) -> Result<(), KafkaError> {
    let record = FutureRecord::to(topic)
        .key(&message.key)
        .payload(&message.value)
        .headers(headers(&message.headers));
    let sent = producer.send(record, queue_time).await;
    sent.map(drop).map_err(|(error, _)| error)
}

/// Returns that a client cannot be made.
pub fn invalid(error: KafkaError) -> Failure {
    Failure::input(
        Problem::new(
            "kafka.settings",
            format!("Kafka's client cannot be made: {error}"),
        )
        .at("kafka")
        .help("check kafka.security and the files of certificates"),
    )
}

/// Returns that a thread cannot be started.
pub fn no_thread(error: &std::io::Error) -> Failure {
    Failure::system(Problem::new(
        "system.thread",
        format!("cannot start a thread: {error}"),
    ))
}
