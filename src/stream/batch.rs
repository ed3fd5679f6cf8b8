//! A batch of messages: decoded, stored as source rows, scored, and turned into the messages to send.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use rdkafka::{Message, message::OwnedMessage};

use super::{
    decode::{Decoded, DecodedRows, MessageDecoder, RowLayout, schema_id},
    generation::Generation,
    hints::HintWriter,
    record::OutgoingMessage,
    registry::{Registry, RegistryAway},
    scoring::{self, ScoringError},
    source_rows::write_rows,
};
use crate::{
    codec::utc,
    domain::{
        job::stream::{
            MessageFormat, StreamInput, StreamOutput, StreamRules, Ties, message::source,
        },
        problem::Problem,
    },
    serve::residents::ServedJob,
    store::{
        Store,
        streams::{StreamCounts, source_rows::SourceWriter},
    },
};

/// A message cannot be newer than this: its rows could not be overwritten for as long.
const MAX_AHEAD_MS: i64 = 300_000;

/// Messages of one generation, in the order of their partitions.
pub struct Batch {
    pub generation: Arc<Generation>,
    pub messages: Vec<OwnedMessage>,
}

/// A batch that is ready to be sent.
pub struct ReadyBatch {
    pub generation: Arc<Generation>,
    pub outgoing: Vec<OutgoingMessage>,
    /// Where each partition goes on.
    pub positions: BTreeMap<i32, NextPosition>,
    pub counts: StreamCounts,
    /// The first message that was rejected, and why.
    pub rejected: Option<String>,
}

impl ReadyBatch {
    /// Sends what was for a topic that does not exist to the dead letters.
    pub fn undeliverable(&mut self, batch: &Batch, topic: &str, dead_letters: &str) {
        let text = format!("topic `{topic}` of the prediction does not exist");
        let problem = Problem::new("message.unknown_topic", text);
        let mut rejected = BTreeSet::new();
        self.outgoing.retain(|outgoing| {
            let is_kept = outgoing.topic != topic;
            if !is_kept {
                rejected.insert(outgoing.message);
                self.counts.scored -= 1;
            }
            is_kept
        });
        // A message has one dead letter, whatever was wrong with it.
        for outgoing in self
            .outgoing
            .iter()
            .filter(|outgoing| outgoing.is_dead_letter)
        {
            rejected.remove(&outgoing.message);
        }
        for at in rejected {
            let message = &batch.messages[at];
            let source = source_of(message);
            self.rejected
                .get_or_insert_with(|| format!("{source}: {}", problem.line()));
            self.counts.rejected += 1;
            let letter = OutgoingMessage::dead_letter(at, dead_letters, message, &source, &problem);
            self.outgoing.push(letter);
        }
        self.outgoing.sort_by_key(|outgoing| outgoing.message);
    }
}

/// Where a partition goes on after a batch.
#[derive(Debug, Clone)]
pub struct NextPosition {
    /// Offset of the next message.
    pub offset: i64,
    pub ties: Ties,
    /// Time of the last message.
    pub message_at: Option<DateTime<Utc>>,
}

/// Why a batch is not ready. Nothing of it was sent; asking again is right.
#[derive(Debug)]
pub enum NotReady {
    /// Something that people must mend, or that comes back.
    Waiting(String),
    /// The partitions belong to another member.
    Over,
}

/// What batches of one topic and job have in common.
pub struct Preparation {
    pub rules: Arc<StreamRules>,
    pub registry: Registry,
    /// Writes source rows, if the job does.
    pub writer: Option<SourceWriter>,
    /// The write timestamps that were given last, by partition, in this generation.
    pub ties: BTreeMap<i32, Ties>,
    /// The generation of the last batch.
    pub generation: Option<Arc<Generation>>,
    pub max_bytes: usize,
    pub known_unknown: BTreeSet<String>,
}

/// A message's outcome so far.
pub(super) struct MessageOutcome {
    /// What it asks for, with the index of its row of cells.
    pub(super) decoded: Result<(Decoded, Option<usize>), Problem>,
    /// When its row is written, in microseconds.
    pub(super) timestamp: i64,
}

impl Preparation {
    fn input(&self) -> Option<&StreamInput> {
        self.rules.input.as_ref()
    }

    /// Decodes, stores and scores a batch.
    ///
    /// # Errors
    /// It is not ready yet.
    pub async fn prepare(
        &mut self,
        batch: &Batch,
        job: &ServedJob,
        layout: &RowLayout,
        (hints, store, name): (&mut HintWriter, &Store, &str),
    ) -> Result<ReadyBatch, NotReady> {
        let rules = Arc::clone(&self.rules);
        let (Some(input), Some(output)) = (&rules.input, &rules.output) else {
            return Err(NotReady::Waiting(
                "the job no longer has a stream".to_owned(),
            ));
        };
        if batch.generation.is_over() {
            return Err(NotReady::Over);
        }
        if !self
            .generation
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &batch.generation))
        {
            self.generation = Some(Arc::clone(&batch.generation));
            self.ties.clear();
        }
        self.fetch_schemas(batch).boxed().await?;
        let before = self.ties.clone();
        let (mut outcomes, rows, positions) = self.decode(batch, input, layout);
        let stored = async {
            match &self.writer {
                Some(writer) => {
                    let written =
                        write_rows(writer, layout, &rows, &mut outcomes, &batch.generation);
                    written.boxed().await?;
                    let hinted = hints.write(store, name, layout, &rows).boxed().await;
                    hinted.map_err(|error| NotReady::Waiting(error.to_string()))
                }
                None => Ok(()),
            }
        };
        if let Err(error) = stored.await {
            // The same messages get the same timestamps again.
            self.ties = before;
            return Err(error);
        }
        let answered = self.answer(batch, job, layout, output, &outcomes, &rows);
        let answered = answered.boxed().await;
        self.registry.forget_unknown();
        match answered {
            Ok((outgoing, counts, rejected)) => Ok(ReadyBatch {
                generation: Arc::clone(&batch.generation),
                outgoing,
                positions,
                counts,
                rejected,
            }),
            Err(error) => {
                self.ties = before;
                Err(match error {
                    ScoringError::Waiting(why) => NotReady::Waiting(why),
                })
            }
        }
    }

    async fn fetch_schemas(&mut self, batch: &Batch) -> Result<(), NotReady> {
        if self
            .input()
            .is_none_or(|input| input.format != MessageFormat::Avro)
        {
            return Ok(());
        }
        let parts = batch
            .messages
            .iter()
            .flat_map(|message| [message.payload(), message.key()]);
        let ids: BTreeSet<u32> = parts.flatten().filter_map(schema_id).collect();
        let fetched = self.registry.fetch(&ids).await;
        fetched.map_err(|RegistryAway(why)| NotReady::Waiting(why))
    }

    fn decode(
        &mut self,
        batch: &Batch,
        input: &StreamInput,
        layout: &RowLayout,
    ) -> (
        Vec<MessageOutcome>,
        DecodedRows,
        BTreeMap<i32, NextPosition>,
    ) {
        let mut rows = DecodedRows::new(layout);
        let mut decoder = MessageDecoder {
            layout,
            input,
            max_bytes: self.max_bytes,
            unknown: std::mem::take(&mut self.known_unknown),
        };
        let mut positions: BTreeMap<i32, NextPosition> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(batch.messages.len());
        let now_ms = Utc::now().timestamp_millis();
        for message in &batch.messages {
            let parts = (message.key(), message.payload());
            let row = rows.cells.rows();
            let decoded = decoder.decode(parts, &self.registry, &mut rows);
            let ties = self.ties.entry(message.partition()).or_insert_with(|| {
                let known = batch.generation.ties.get(&message.partition());
                known.cloned().unwrap_or_default()
            });
            let kafka_ms = message.timestamp().to_millis();
            let mut timestamp = 0;
            let decoded = decoded.and_then(|decoded| {
                let time_ms = match decoded {
                    Decoded::Row {
                        time_ms: Some(time_ms),
                    } => Some(time_ms),
                    Decoded::Row { .. } | Decoded::Delete if input.is_upserted => kafka_ms,
                    _ => return Ok((decoded, Some(row))),
                };
                timestamp = ties.next(checked(time_ms, now_ms)?, message.offset());
                Ok((decoded, Some(row)))
            });
            outcomes.push(MessageOutcome { decoded, timestamp });
            let message_at = kafka_ms.and_then(DateTime::from_timestamp_millis);
            positions.insert(
                message.partition(),
                NextPosition {
                    offset: message.offset() + 1,
                    ties: Ties::default(),
                    message_at,
                },
            );
        }
        for (partition, position) in &mut positions {
            position.ties = self.ties.get(partition).cloned().unwrap_or_default();
        }
        self.known_unknown = decoder.unknown;
        (outcomes, rows, positions)
    }

    async fn answer(
        &self,
        batch: &Batch,
        job: &ServedJob,
        layout: &RowLayout,
        output: &StreamOutput,
        outcomes: &[MessageOutcome],
        rows: &DecodedRows,
    ) -> Result<(Vec<OutgoingMessage>, StreamCounts, Option<String>), ScoringError> {
        let mut counts = StreamCounts {
            received: batch.messages.len() as u64,
            ..StreamCounts::default()
        };
        let mut rejections: BTreeMap<usize, Problem> = BTreeMap::new();
        let mut scored_rows = Vec::new();
        for (at, outcome) in outcomes.iter().enumerate() {
            match &outcome.decoded {
                Ok((Decoded::Row { .. }, Some(row))) => {
                    counts.upserted += u64::from(self.writer.is_some());
                    scored_rows.push((at, *row));
                }
                Ok((Decoded::Delete, _)) => counts.deleted += 1,
                Ok(_) => counts.ignored += 1,
                Err(problem) => drop(rejections.insert(at, problem.clone())),
            }
        }
        let mut outgoing = Vec::with_capacity(batch.messages.len());
        if output.from_messages && !scored_rows.is_empty() {
            let predictions =
                scoring::predictions(job, &output.versions, layout, rows, &scored_rows).await?;
            for prediction in predictions {
                let message = &batch.messages[prediction.message];
                match prediction.outcome {
                    Ok((topic, encoded)) => {
                        counts.scored += 1;
                        outgoing.push(OutgoingMessage::prediction(
                            prediction.message,
                            topic,
                            encoded,
                            &source_of(message),
                        ));
                    }
                    Err(problem) => drop(rejections.entry(prediction.message).or_insert(problem)),
                }
            }
        }
        counts.rejected = rejections.len() as u64;
        let first = rejections.iter().next().map(|(at, problem)| {
            format!("{}: {}", source_of(&batch.messages[*at]), problem.line())
        });
        let topic = output.dead_letters.as_deref().unwrap_or_default();
        for (at, problem) in rejections {
            let message = &batch.messages[at];
            outgoing.push(OutgoingMessage::dead_letter(
                at,
                topic,
                message,
                &source_of(message),
                &problem,
            ));
        }
        // In the order of the messages, so that a topic shows them as they came.
        outgoing.sort_by_key(|outgoing| outgoing.message);
        Ok((outgoing, counts, first))
    }
}

/// Returns `TOPIC-PARTITION-OFFSET`.
pub fn source_of(message: &OwnedMessage) -> String {
    source(message.topic(), message.partition(), message.offset())
}

fn checked(time_ms: Option<i64>, now_ms: i64) -> Result<i64, Problem> {
    let Some(time_ms) = time_ms else {
        return Err(Problem::new("message.time", "the message has no time")
            .help("set message.timestamp.type of the topic, or `timestamp` in [stream.in]"));
    };
    // Beyond, microseconds overflow.
    if time_ms > now_ms + MAX_AHEAD_MS || time_ms < -62_135_596_800_000 {
        let at = DateTime::from_timestamp_millis(time_ms);
        let at = at.map_or_else(|| time_ms.to_string(), utc::to_millisecond);
        let message = format!("the time of the message, {at}, is not between year 1 and now");
        return Err(Problem::new("message.time", message));
    }
    Ok(time_ms)
}

/// Pause before something that failed is tried again.
pub const AGAIN: Duration = Duration::from_millis(500);
