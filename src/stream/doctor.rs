//! Checks Kafka and the topics that jobs name.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    metadata::Metadata,
};

use super::client;
use crate::{
    config::Config,
    engine::jobs,
    inspect::doctor::{Finding, State},
    store::Store,
};

/// Time limit of asking the brokers.
const ASK: Duration = Duration::from_secs(10);

/// Checks the brokers and the topics; nothing if no brokers are set.
pub async fn examine(config: &Config) -> Vec<Finding> {
    if config.kafka.brokers.is_none() {
        return Vec::new();
    }
    let kafka = config.kafka.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let settings = client::client_config(&kafka).map_err(|failure| failure.to_string())?;
        let consumer: BaseConsumer = settings.create().map_err(|error| error.to_string())?;
        let metadata = consumer.fetch_metadata(None, ASK);
        metadata.map_err(|error| error.to_string())
    });
    let asked = asked.await.map_err(|error| error.to_string());
    match asked.and_then(|asked| asked) {
        Ok(metadata) => {
            let brokers = metadata.brokers().len();
            let mut findings = vec![finding(
                State::Good,
                format!("{brokers} broker(s) of Kafka"),
                "",
            )];
            findings.extend(topics(config, &metadata).await);
            findings
        }
        Err(error) => vec![finding(
            State::Bad,
            format!("Kafka's brokers do not answer: {error}"),
            "check kafka.brokers and kafka.security",
        )],
    }
}

async fn topics(config: &Config, metadata: &Metadata) -> Vec<Finding> {
    // What is wrong with Cassandra is another check's finding.
    let Ok(store) = Store::connect(config).await else {
        return Vec::new();
    };
    let known: BTreeSet<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
    let mut findings = Vec::new();
    for job in store.job_names().await.unwrap_or_default() {
        let Ok(prepared) = jobs::read_ready(&store, &job).await else {
            continue;
        };
        let stream = &prepared.manifest.stream;
        let mut topics: Vec<String> = Vec::new();
        topics.extend(stream.input.as_ref().map(|input| input.topic.clone()));
        if let Some(output) = &stream.output {
            topics.extend(output.dead_letters.clone());
            if output.topic.column().is_none() {
                topics.push(output.topic.to_string());
            }
        }
        let missing: Vec<&String> = topics
            .iter()
            .filter(|topic| !known.contains(topic.as_str()))
            .collect();
        for topic in missing {
            let text = format!("topic `{topic}` of job `{job}` does not exist");
            findings.push(finding(
                State::Bad,
                text,
                "create it; helenus creates no topics",
            ));
        }
    }
    findings
}

fn finding(state: State, text: String, help: &str) -> Finding {
    Finding {
        check: "kafka",
        state,
        text,
        help: (!help.is_empty()).then(|| help.to_owned()),
    }
}
