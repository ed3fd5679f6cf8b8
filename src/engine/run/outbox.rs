//! Sends a run's predictions to topics (`from = ["runs"]` of the manifest's `[stream.out]`), after
//! Cassandra acknowledged them and before their split is finished.
//!
//! A split that was not finished is scored again at the next epoch, all its rows, and so its
//! predictions are sent again: none is lost, and some may come twice, with the same key, version
//! and input hash. This layer does not know Kafka: who starts a run hands a [`PredictionSink`] in.

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::future::BoxFuture;

use super::lineage::Lineage;
use crate::{
    domain::{
        job::{
            CompiledJob,
            manifest::VersionWish,
            served::Served,
            stream::{
                PredictionMessage, StreamOutput,
                end::run_end,
                message::{ERROR, ERROR_CODE, EncodedMessage},
            },
        },
        model::alias::CHAMPION,
        problem::Problem,
        run::{Counts, Run, RunState},
    },
    failpoint,
    failure::Failure,
    store::driver::fenced_lease::Fence,
};

/// [`ERROR_CODE`] of a rejected row.
const REJECTED: &str = "row.rejected";

/// A message and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    pub topic: String,
    pub message: EncodedMessage,
}

/// Why messages were not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    pub detail: String,
    /// Whether it would fail again, wherever it is tried.
    pub is_lasting: bool,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Sends messages.
pub trait PredictionSink: fmt::Debug + Send + Sync {
    /// Returns why nothing can be sent, as far as the settings show it.
    fn unready(&self) -> Option<Problem>;

    /// Sends messages, and returns once all of them are acknowledged.
    fn send(&self, messages: Vec<OutgoingMessage>) -> BoxFuture<'_, Result<(), SendError>>;

    /// Sends a message to every partition of the topics, so that each reader gets it after what was
    /// sent before. Topics that do not exist are left out if `may_lack` is set.
    fn announce(
        &self,
        topics: Vec<String>,
        message: EncodedMessage,
        may_lack: bool,
    ) -> BoxFuture<'_, Result<(), SendError>>;
}

/// Where a run's predictions go.
#[derive(Debug)]
pub struct Outbox {
    sink: Arc<dyn PredictionSink>,
    output: StreamOutput,
    chosen: Chosen,
}

/// Which predictions of a row are sent.
#[derive(Debug)]
enum Chosen {
    /// Those of these versions.
    Versions(BTreeSet<i32>),
    /// That of the version which serves the row.
    Served(Served),
}

/// Where a prediction belongs, and what is stored about it.
pub struct Outgoing<'a> {
    pub key: &'a [Option<&'a [u8]>],
    /// Index into the job's versions.
    pub at: usize,
    pub lineage: Lineage,
    pub input_hash: u128,
    pub source_hash: u128,
    pub arm: Option<usize>,
}

impl Outbox {
    /// Returns the outbox of a run, if its job sends what runs store.
    ///
    /// # Errors
    /// Exit 3, so that another process may work on the run: this one cannot send. Exit 2: no
    /// version of the run serves rows, and `[stream.out]` names none.
    pub fn of_run(
        job: &CompiledJob,
        run: &Run,
        sink: Option<&Arc<dyn PredictionSink>>,
    ) -> Result<Option<Self>, Failure> {
        let output = job.stream.output.as_ref();
        let Some(output) = output.filter(|output| output.from_runs) else {
            return Ok(None);
        };
        let Some(sink) = sink else {
            let message = "this helenus was built without Kafka, where the job's predictions go";
            return Err(Failure::system(
                Problem::new("stream.no_kafka", message)
                    .at("stream.out.from")
                    .help("start a worker that was built with `--features kafka`; nothing is lost meanwhile"),
            ));
        };
        if let Some(problem) = sink.unready() {
            return Err(Failure::system(problem));
        }
        Ok(Some(Self {
            sink: Arc::clone(sink),
            chosen: chosen(job, run, output)?,
            output: output.clone(),
        }))
    }

    /// Adds the message of a row's prediction, if it is sent. `outcome`: the cells of the output
    /// columns, or why the row is rejected.
    pub fn add<'a, O>(
        &self,
        job: &'a CompiledJob,
        row: &Outgoing<'a>,
        outcome: Result<O, &'a str>,
        messages: &mut Vec<OutgoingMessage>,
    ) where
        O: Iterator<Item = Option<&'a [u8]>> + Clone,
    {
        let ready = &job.versions[row.at].ready;
        let is_sent = match &self.chosen {
            Chosen::Versions(versions) => versions.contains(&ready.version),
            Chosen::Served(served) => served.version_of(row.arm) == Some(ready.version),
        };
        if !is_sent {
            return;
        }
        let rejected = outcome.as_ref().err().copied();
        let topic = match &outcome {
            Ok(cells) => {
                let topic = self
                    .output
                    .topic
                    .of_prediction(&job.target.outputs, cells.clone());
                topic.into_owned()
            }
            Err(_) => match (self.output.topic.column(), &self.output.dead_letters) {
                (None, _) => self.output.topic.topic_for("").into_owned(),
                // It has no label, so there is no topic for it.
                (Some(_), Some(topic)) => topic.clone(),
                (Some(_), None) => return,
            },
        };
        let prediction = PredictionMessage {
            job,
            key: row.key,
            model: &ready.model,
            version: ready.version,
            model_sha256: ready.admitted.sha256,
            outcome,
            input_hash: row.input_hash,
            source_hash: row.source_hash,
            job_revision: row.lineage.job_revision,
            run_id: Some(row.lineage.run_id),
            scored_at: chrono::DateTime::from_timestamp_millis(row.lineage.scored_at)
                .unwrap_or_default(),
            arm: job.served.label(row.arm),
        };
        let mut message = prediction.encode();
        if let Some(reason) = rejected {
            message.headers.push((ERROR_CODE, REJECTED.to_owned()));
            message.headers.push((ERROR, reason.to_owned()));
        }
        messages.push(OutgoingMessage { topic, message });
    }

    /// Sends the messages of a batch while the split is this process's own.
    ///
    /// # Errors
    /// `None`: the lease expired.
    pub async fn send(
        &self,
        messages: Vec<OutgoingMessage>,
        fence: &Fence,
    ) -> Result<(), Option<SendError>> {
        if messages.is_empty() {
            return Ok(());
        }
        failpoint::hit("before_send");
        if !fence.may_send() {
            return Err(None);
        }
        self.sink.send(messages).await.map_err(Some)?;
        failpoint::hit("after_send");
        Ok(())
    }

    /// Tells the readers of every topic that all predictions of the run have been sent.
    ///
    /// # Errors
    /// It was not acknowledged.
    pub async fn end(
        &self,
        job: &CompiledJob,
        run: &Run,
        state: RunState,
        reason: Option<&str>,
        counts: &Counts,
    ) -> Result<(), SendError> {
        let (topics, may_lack) = match self.output.topic.column() {
            None => (vec![self.output.topic.topic_for("").into_owned()], false),
            Some(_) => (self.topics_of_classes(job), true),
        };
        let message = run_end(run, state, reason, counts);
        self.sink.announce(topics, message, may_lack).await?;
        failpoint::hit("after_announcement");
        Ok(())
    }

    /// Returns the topics of all classes that the versions know.
    fn topics_of_classes(&self, job: &CompiledJob) -> Vec<String> {
        let outputs = job.versions.iter();
        let outputs = outputs.flat_map(|version| &version.ready.admitted.signature.outputs);
        let classes = outputs.filter_map(|output| output.classes.as_ref());
        let topics: BTreeSet<String> = classes
            .flat_map(|classes| &classes.names)
            .map(|class| self.output.topic.topic_for(class).into_owned())
            .collect();
        topics.into_iter().collect()
    }
}

fn chosen(job: &CompiledJob, run: &Run, output: &StreamOutput) -> Result<Chosen, Failure> {
    let numbers = || job.versions.iter().map(|version| version.ready.version);
    if !output.versions.is_empty() {
        let named = output.versions.iter().filter_map(|wish| match wish {
            VersionWish::Number(number) => Some(*number),
            VersionWish::Alias(alias) => run.aliases.get(alias).copied(),
        });
        return Ok(Chosen::Versions(named.collect()));
    }
    let champion = run.aliases.get(CHAMPION).copied();
    let champion = champion.or(run.current.map(|current| current.version));
    if champion.is_some() {
        return Ok(Chosen::Served(Served {
            champion,
            arms: job.served.arms.clone(),
        }));
    }
    match job.versions.len() {
        1 => Ok(Chosen::Versions(numbers().collect())),
        _ => Err(Failure::input(
            Problem::new(
                "stream.no_champion",
                format!("job `{}` does not say whose predictions are sent", job.job),
            )
            .at("stream.out.versions")
            .help("add `versions = [\"champion\"]` to [stream.out] and \"champion\" to the job's"),
        )),
    }
}
