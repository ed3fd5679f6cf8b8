//! One transaction a batch: what it sends, and where each partition goes on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer},
};

use super::{batch::ReadyBatch, client::TransactionalProducer, record::OutgoingMessage};
use crate::{failpoint, metrics};

/// Time limit of sending the offsets, and of aborting.
const ASK: Duration = Duration::from_secs(10);
/// Time limit of committing; the broker aborts the transaction somewhat later.
const COMMIT: Duration = Duration::from_secs(14);

/// Shortest time limit of a call that commits.
const MIN_COMMIT: Duration = Duration::from_secs(1);

/// What became of a transaction that was not committed.
#[derive(Debug)]
pub enum Uncommitted {
    /// It was aborted; the same batch may be sent again.
    Aborted(String),
    /// It was aborted because the broker does not take these messages, by their index.
    TooLarge(BTreeSet<usize>),
    /// The partitions belong to another member; the batch is dropped.
    Over,
    /// The outcome is unknown, or the producer is fenced: read again from the committed offsets,
    /// with another producer.
    Broken(String),
}

/// Sends a batch and commits it. Blocks.
///
/// # Errors
/// It was not committed, or nobody knows.
pub fn commit(
    producer: &TransactionalProducer,
    topic: &str,
    batch: &ReadyBatch,
) -> Result<(), Uncommitted> {
    let began = Instant::now();
    let Some(_held) = batch.generation.hold() else {
        return Err(Uncommitted::Over);
    };
    drop(producer.context().take_failed());
    if let Err(error) = producer.begin_transaction() {
        return Err(Uncommitted::Broken(format!(
            "no transaction could be begun: {error}"
        )));
    }
    let done = within(producer, topic, batch);
    match done {
        Ok(()) => {
            metrics::STREAM_TRANSACTION_SECONDS
                .histogram()
                .record(began.elapsed());
            failpoint::hit("stream_after_commit");
            Ok(())
        }
        Err(error) => Err(undone(producer, &error)),
    }
}

fn within(
    producer: &TransactionalProducer,
    topic: &str,
    batch: &ReadyBatch,
) -> Result<(), KafkaError> {
    let mut offsets = TopicPartitionList::with_capacity(batch.positions.len());
    for (partition, position) in &batch.positions {
        let mut element = offsets.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(position.offset))?;
        element.set_metadata(position.ties.to_text());
    }
    // First: until the markers of its last transaction are written, the broker refuses a producer's
    // offsets and messages alike, and librdkafka asks again for the former far sooner.
    producer.send_offsets_to_transaction(&offsets, &batch.generation.metadata, ASK)?;
    for (at, outgoing) in batch.outgoing.iter().enumerate() {
        send(producer, at, outgoing)?;
    }
    failpoint::hit("stream_in_transaction");
    let until = Instant::now() + COMMIT;
    deliver(producer, until);
    failpoint::hit("stream_before_commit");
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match producer.commit_transaction(left.max(MIN_COMMIT)) {
            // The same call goes on where it was.
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < until => {}
            outcome => return outcome,
        }
    }
}

/// Waits until all messages are delivered or have failed. `commit_transaction` would do so, but only
/// look every 100 ms: its flush polls for events that the producer's own thread takes.
fn deliver(producer: &TransactionalProducer, until: Instant) {
    while producer.in_flight_count() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn send(
    producer: &TransactionalProducer,
    at: usize,
    outgoing: &OutgoingMessage,
) -> Result<(), KafkaError> {
    let headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
    let headers = outgoing.headers.iter().fold(headers, |all, (key, value)| {
        all.insert(Header {
            key,
            value: value.as_deref(),
        })
    });
    let until = Instant::now() + ASK;
    loop {
        let mut record = BaseRecord::with_opaque_to(&outgoing.topic, at).headers(headers.clone());
        if let Some(key) = &outgoing.key {
            record = record.key(key.as_slice());
        }
        if let Some(value) = &outgoing.value {
            record = record.payload(value.as_slice());
        }
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                if Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((error, _)) => {
                producer.context().add_failed(at, error.clone());
                return Err(error);
            }
        }
    }
}

/// Aborts a transaction after an error.
fn undone(producer: &TransactionalProducer, error: &KafkaError) -> Uncommitted {
    tracing::debug!(%error, "the transaction is not committed");
    if let KafkaError::Transaction(error) = error
        && error.is_fatal()
    {
        return Uncommitted::Broken(error.to_string());
    }
    if let Err(abort) = producer.abort_transaction(ASK) {
        return Uncommitted::Broken(format!("{error}; it could not be aborted: {abort}"));
    }
    let failed = producer.context().take_failed();
    let too_large: BTreeSet<usize> = failed
        .iter()
        .filter(|(_, error)| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
        })
        .map(|(at, _)| *at)
        .collect();
    match too_large.is_empty() {
        true => Uncommitted::Aborted(error.to_string()),
        false => Uncommitted::TooLarge(too_large),
    }
}
