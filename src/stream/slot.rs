//! Slots: the numbers in transactional ids.
//!
//! An id is used again and again, so that a producer that takes it over aborts what its predecessor
//! left open. A slot is a lease in Cassandra; if two processes believe to have one, the broker fences
//! the older of them.

use std::{sync::Arc, time::Duration};

use rdkafka::producer::Producer;

use super::client::{self, TransactionalProducer};
use crate::{
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

/// A slot with its producer.
pub struct Slot {
    pub number: i32,
    pub producer: Arc<TransactionalProducer>,
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
            let kafka = &store.config().kafka;
            let id = format!("{}-{number}", group(store, job));
            let producer = client::transactional_producer(kafka, &id)?;
            let fencing = tokio::task::spawn_blocking(move || {
                producer.init_transactions(INIT).map(|()| producer)
            });
            let producer = fencing.await.map_err(|error| broken(&error.to_string()))?;
            return match producer {
                Ok(producer) => Ok(Self {
                    number,
                    producer: Arc::new(producer),
                    lease,
                }),
                Err(error) => {
                    lease.release().await?;
                    Err(broken(&error.to_string()))
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
            producer, lease, ..
        } = self;
        // Ends its thread, which takes up to a moment.
        let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
        if let Err(error) = lease.release().await {
            tracing::debug!(%error, "the slot is given back when its lease expires");
        }
    }
}

/// Returns the name of a job's group, which begins its transactional ids, too.
pub fn group(store: &Store, job: &str) -> String {
    format!("helenus-{}-{job}", store.keyspace())
}

fn broken(error: &str) -> Failure {
    Failure::system(Problem::new("kafka.unavailable", format!("Kafka: {error}")))
}
