//! Slots: the numbers in transactional ids.
//!
//! An id is used again and again, so that a producer that takes it over aborts what its predecessor
//! left open. A slot is a lease in Cassandra; if two processes believe to have one, the broker fences
//! the older of them.

use std::{sync::Arc, time::Duration};

use rdkafka::{error::KafkaError, producer::Producer};

use super::client::{self, TransactionalProducer};
use crate::{
    config::Kafka,
    domain::problem::Problem,
    failure::Failure,
    store::{
        Store,
        admin::leases::{Asked, Lease, Watches},
    },
};

/// Most members of a job's stream.
const SLOTS: i32 = 256;
/// Time limit of the first request of a producer.
const INIT: Duration = Duration::from_secs(30);

/// Ends of a slot's transactional ids, one a producer. They take turns: for some milliseconds after a
/// commit, until the transaction's markers are written, the broker refuses the producer's next one.
const PRODUCERS: [&str; 2] = ["", ".2"];

/// The producers of a slot, for transactions one after the other.
pub type Producers = [Arc<TransactionalProducer>; PRODUCERS.len()];

/// A slot with its producers.
pub struct Slot {
    pub number: i32,
    pub producers: Producers,
    lease: Lease,
}

impl Slot {
    /// Takes the first slot that is free. Keep `watches` between calls.
    ///
    /// # Errors
    /// Cassandra, or the brokers do not answer.
    pub async fn take(store: &Store, job: &str, watches: &mut Watches) -> Result<Self, Failure> {
        for number in 0..SLOTS {
            let name = format!("stream/{job}/{number}");
            let Asked::Granted(lease) = store.ask_lease(&name, watches).await? else {
                continue;
            };
            let id = format!("{}-{number}", group(store, job));
            return match fence(&store.config().kafka, &id).await {
                Ok(producers) => Ok(Self {
                    number,
                    producers,
                    lease,
                }),
                Err(failure) => {
                    lease.release().await?;
                    Err(failure)
                }
            };
        }
        Err(broken(&format!(
            "all {SLOTS} slots of the stream are taken"
        )))
    }

    /// Gives the slot back.
    pub async fn release(self) {
        let Self {
            producers, lease, ..
        } = self;
        // Ends their threads, which takes up to a moment.
        let _ = tokio::task::spawn_blocking(move || drop(producers)).await;
        if let Err(error) = lease.release().await {
            tracing::debug!(%error, "the slot is given back when its lease expires");
        }
    }
}

/// Makes a slot's producers, and fences those that had the ids before: all of them, before the first
/// transaction.
async fn fence(kafka: &Kafka, id: &str) -> Result<Producers, Failure> {
    let [first, second] = PRODUCERS.map(|end| format!("{id}{end}"));
    let producers = [
        client::transactional_producer(kafka, &first)?,
        client::transactional_producer(kafka, &second)?,
    ];
    let fencing = tokio::task::spawn_blocking(move || {
        for producer in &producers {
            producer.init_transactions(INIT)?;
        }
        Ok::<_, KafkaError>(producers.map(Arc::new))
    });
    let fenced = fencing.await.map_err(|error| broken(&error.to_string()))?;
    fenced.map_err(|error| broken(&error.to_string()))
}

/// Returns the name of a job's group, which begins its transactional ids, too.
pub fn group(store: &Store, job: &str) -> String {
    format!("helenus-{}-{job}", store.keyspace())
}

fn broken(error: &str) -> Failure {
    Failure::system(Problem::new("kafka.unavailable", format!("Kafka: {error}")))
}
