//! `stream_events` and `stream_acks`: what people must know of a stream, and that they do.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{insert, stored},
        error::StoreError,
    },
};

const ACKNOWLEDGE: &str = "INSERT INTO stream_acks (job, id, acknowledged_by, acknowledged_at, note) VALUES (?, ?, ?, ?, ?)";
const ACKS: &str = "SELECT id FROM stream_acks WHERE job = ?";
const JOBS: &str = "SELECT DISTINCT job FROM stream_events";

/// A row of `stream_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    pub job: String,
    pub id: Uuid,
    /// `paused` or `lost`.
    pub kind: String,
    pub topic: String,
    /// One sentence for people.
    pub what: String,
    /// Names and values for programs.
    pub evidence: BTreeMap<String, String>,
    pub member: Option<Uuid>,
    pub since: Option<DateTime<Utc>>,
}

impl StreamEvent {
    /// Too many messages were rejected.
    pub const PAUSED: &'static str = "paused";
    /// Messages were gone before they were read.
    pub const LOST: &'static str = "lost";
}

stored! {
    read write struct EventColumns of StreamEvent {
        job: String,
        id: CqlTimeuuid,
        kind: Option<String>,
        topic: Option<String>,
        what: Option<String>,
        evidence: Option<BTreeMap<String, String>>,
        member: Option<Uuid>,
        since: Option<CqlTimestamp>,
    }
}

impl Store {
    /// Writes an event.
    pub async fn write_stream_event(&self, event: &StreamEvent) -> Result<(), StoreError> {
        let cql = insert("stream_events", EventColumns::COLUMNS);
        self.write(&cql, EventColumns::from(event)).await
    }

    /// Returns a job's events, newest first.
    pub async fn stream_events(&self, job: &str) -> Result<Vec<StreamEvent>, StoreError> {
        self.stored::<EventColumns>("FROM stream_events WHERE job = ?", (job,))
            .await
    }

    /// Returns a job's events that are not acknowledged, newest first.
    pub async fn open_stream_events(&self, job: &str) -> Result<Vec<StreamEvent>, StoreError> {
        let mut events = self.stream_events(job).await?;
        if events.is_empty() {
            return Ok(events);
        }
        let acks: Vec<(CqlTimeuuid,)> = self.rows(ACKS, (job,)).await?;
        let acks: BTreeSet<Uuid> = acks.into_iter().map(|(id,)| id.into()).collect();
        events.retain(|event| !acks.contains(&event.id));
        Ok(events)
    }

    /// Returns the jobs that have events. Reads all partitions, which are few.
    pub async fn jobs_with_stream_events(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self.rows(JOBS, ()).await?;
        Ok(rows.into_iter().map(|(job,)| job).collect())
    }

    /// Acknowledges an event, in the name of `by`.
    pub async fn acknowledge_stream_event(
        &self,
        job: &str,
        id: Uuid,
        by: &str,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let values = (job, CqlTimeuuid::from(id), by, Utc::now(), note);
        self.write(ACKNOWLEDGE, values).await
    }
}
