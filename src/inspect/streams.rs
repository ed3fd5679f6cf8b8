//! What streams do: members, positions, counts, and what people should know.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::store::{
    Store,
    driver::error::StoreError,
    streams::{StreamDay, StreamPosition, StreamRow, events::StreamEvent},
};

/// A job's stream.
#[derive(Debug)]
pub struct StreamStatus {
    pub job: String,
    /// The processes that read it.
    pub members: Vec<StreamRow>,
    pub positions: Vec<StreamPosition>,
    /// Counts from the day that was asked for on.
    pub days: Vec<StreamDay>,
    /// Events that are not acknowledged, newest first.
    pub events: Vec<StreamEvent>,
}

impl StreamStatus {
    /// Returns how many offsets are not read yet, if the brokers said so of any partition.
    pub fn lag(&self) -> Option<i64> {
        let lags = self.positions.iter().filter_map(StreamPosition::lag);
        lags.reduce(|all, lag| all + lag)
    }
}

/// Returns the streams of one job, or of all that run or have events.
///
/// # Errors
/// Errors of Cassandra.
pub async fn status(
    store: &Store,
    job: Option<&str>,
    first: NaiveDate,
) -> Result<Vec<StreamStatus>, StoreError> {
    let jobs: BTreeSet<String> = match job {
        Some(job) => BTreeSet::from([job.to_owned()]),
        None => {
            let running = store.streams().await?.into_iter().map(|row| row.job);
            let with_events = store.jobs_with_stream_events().await?;
            running.chain(with_events).collect()
        }
    };
    let mut found = Vec::new();
    for job in jobs {
        let status = StreamStatus {
            members: store.streams_of(&job).await?,
            positions: store.stream_positions(&job).await?,
            days: store.stream_days(&job, first).await?,
            events: store.open_stream_events(&job).await?,
            job,
        };
        found.push(status);
    }
    Ok(found)
}
