//! Which topics exist, so that a missing one is said at once instead of after a time-out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{error::RDKafkaErrorCode, producer::Producer};

use super::client::TransactionalProducer;

/// Time limit of a request.
const ASK: Duration = Duration::from_secs(5);
/// How long an answer holds.
const EXISTS: Duration = Duration::from_secs(300);
const MISSING: Duration = Duration::from_secs(5);
/// Answers that are remembered.
const MAX_KNOWN: usize = 10_000;

/// What the brokers said of topics.
#[derive(Debug, Default)]
pub struct KnownTopics(BTreeMap<String, (bool, Instant)>);

impl KnownTopics {
    /// Returns those of the topics that do not exist.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub async fn missing(
        &mut self,
        producer: &Arc<TransactionalProducer>,
        topics: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, String> {
        let mut missing = BTreeSet::new();
        for topic in topics {
            let known = self.0.get(&topic);
            let known =
                known.filter(|(exists, at)| at.elapsed() < if *exists { EXISTS } else { MISSING });
            let exists = match known {
                Some((exists, _)) => *exists,
                None => {
                    let exists = ask(producer, &topic).await?;
                    if self.0.len() >= MAX_KNOWN {
                        self.0.clear();
                    }
                    self.0.insert(topic.clone(), (exists, Instant::now()));
                    exists
                }
            };
            if !exists {
                missing.insert(topic);
            }
        }
        Ok(missing)
    }
}

async fn ask(producer: &Arc<TransactionalProducer>, topic: &str) -> Result<bool, String> {
    let (producer, topic) = (Arc::clone(producer), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = producer.client().fetch_metadata(Some(&topic), ASK);
        let metadata = metadata.map_err(|error| error.to_string())?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found
            .and_then(|found| found.error())
            .map(RDKafkaErrorCode::from)
        {
            None => Ok(found.is_some_and(|found| !found.partitions().is_empty())),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(false),
            Some(error) => Err(format!("topic `{topic}`: {error}")),
        }
    });
    asked.await.map_err(|error| error.to_string())?
}
