//! `streams`, `stream_positions`, `stream_days`: what streams do and how far they are.

pub mod events;
pub mod source_rows;

use chrono::{DateTime, NaiveDate, Utc};
use scylla::{SerializeRow, value::CqlTimestamp};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{cells, insert, stored},
        error::StoreError,
    },
};

/// What became of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Messages whose outcome is committed.
    pub received: u64,
    /// Predictions that were sent.
    pub scored: u64,
    /// Messages that went to the dead letters.
    pub rejected: u64,
    /// Rows that were written.
    pub upserted: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Messages without a value that delete nothing.
    pub ignored: u64,
    /// Messages that were gone from the topic before they were read.
    pub lost: u64,
}

impl StreamCounts {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.scored += other.scored;
        self.rejected += other.rejected;
        self.upserted += other.upserted;
        self.deleted += other.deleted;
        self.ignored += other.ignored;
        self.lost += other.lost;
    }
}

/// What a member of a stream last reported.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRow {
    pub job: String,
    /// Random id of this start of the member.
    pub member: Uuid,
    pub host: String,
    pub pid: u32,
    pub version: String,
    pub topic: String,
    /// Number in its transactional id.
    pub slot: Option<i32>,
    /// starting, running, waiting, paused or stopped.
    pub state: String,
    /// What it waits for, or why it is paused.
    pub reason: Option<String>,
    pub waiting_since: Option<DateTime<Utc>>,
    // The counts are those of [`StreamCounts`], since `started_at`.
    pub received: u64,
    pub scored: u64,
    pub rejected: u64,
    pub upserted: u64,
    pub deleted: u64,
    pub ignored: u64,
    pub lost: u64,
    pub messages_per_s: f64,
    pub started_at: DateTime<Utc>,
    /// Rises with each report.
    pub beat: i64,
    pub beat_at: DateTime<Utc>,
}

/// How far a partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPosition {
    pub job: String,
    pub topic: String,
    pub partition: i32,
    /// Offset of the next message.
    pub position: i64,
    /// Where the partition ended when this was written, if the broker said so.
    pub end_position: Option<i64>,
    /// Time of the last message.
    pub message_at: Option<DateTime<Utc>>,
    pub member: Uuid,
    pub updated_at: DateTime<Utc>,
}

impl StreamPosition {
    /// Returns how many offsets are not read yet; markers of transactions are among them.
    pub fn lag(&self) -> Option<i64> {
        self.end_position.map(|end| (end - self.position).max(0))
    }
}

/// A day of a member; the counts are those of [`StreamCounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDay {
    pub job: String,
    pub day: NaiveDate,
    pub member: Uuid,
    pub received: u64,
    pub scored: u64,
    pub rejected: u64,
    pub upserted: u64,
    pub deleted: u64,
    pub ignored: u64,
    pub lost: u64,
    pub updated_at: DateTime<Utc>,
}

impl StreamDay {
    /// Returns the counts together.
    pub fn counts(&self) -> StreamCounts {
        StreamCounts {
            received: self.received,
            scored: self.scored,
            rejected: self.rejected,
            upserted: self.upserted,
            deleted: self.deleted,
            ignored: self.ignored,
            lost: self.lost,
        }
    }
}

stored! {
    read write struct StreamColumns of StreamRow {
        job: String,
        member: Uuid,
        host: Option<String>,
        pid: Option<i32>,
        version: Option<String>,
        topic: Option<String>,
        slot: Option<i32>,
        state: Option<String>,
        reason: Option<String>,
        waiting_since: Option<CqlTimestamp>,
        received: Option<i64>,
        scored: Option<i64>,
        rejected: Option<i64>,
        upserted: Option<i64>,
        deleted: Option<i64>,
        ignored: Option<i64>,
        lost: Option<i64>,
        messages_per_s: Option<f64>,
        started_at: Option<CqlTimestamp>,
        beat: Option<i64>,
        beat_at: Option<CqlTimestamp>,
    }
}

stored! {
    read write struct PositionColumns of StreamPosition {
        job: String,
        topic: String,
        partition: i32,
        position: Option<i64>,
        end_position: Option<i64>,
        message_at: Option<CqlTimestamp>,
        member: Option<Uuid>,
        updated_at: Option<CqlTimestamp>,
    }
}

stored! {
    read write struct DayColumns of StreamDay {
        job: String,
        day: NaiveDate,
        member: Uuid,
        received: Option<i64>,
        scored: Option<i64>,
        rejected: Option<i64>,
        upserted: Option<i64>,
        deleted: Option<i64>,
        ignored: Option<i64>,
        lost: Option<i64>,
        updated_at: Option<CqlTimestamp>,
    }
}

cells! {
    u64 => Option<i64>: |count| Some(count as i64);
}

#[derive(SerializeRow)]
struct WrittenStream {
    #[scylla(flatten)]
    row: StreamColumns,
    ttl_seconds: i32,
}

impl Store {
    /// Writes a member's row, with a TTL of `ttl_seconds`.
    pub async fn write_stream(&self, row: &StreamRow, ttl_seconds: i32) -> Result<(), StoreError> {
        let cql = insert("streams", StreamColumns::COLUMNS) + " USING TTL :ttl_seconds";
        let row = StreamColumns::from(row);
        self.write(&cql, WrittenStream { row, ttl_seconds }).await
    }

    /// Returns the members of a job's stream.
    pub async fn streams_of(&self, job: &str) -> Result<Vec<StreamRow>, StoreError> {
        self.stored::<StreamColumns>("FROM streams WHERE job = ?", (job,))
            .await
    }

    /// Returns the members of all streams. Reads all partitions, which are few and small.
    pub async fn streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        self.stored::<StreamColumns>("FROM streams", ()).await
    }

    /// Writes how far a partition is read. Without the time of a message, the one written before
    /// stays.
    pub async fn write_stream_position(&self, row: &StreamPosition) -> Result<(), StoreError> {
        if row.message_at.is_none() {
            const CQL: &str = "INSERT INTO stream_positions (job, topic, partition, position, end_position, member, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
            let values = (
                &row.job,
                &row.topic,
                row.partition,
                row.position,
                row.end_position,
                row.member,
                row.updated_at,
            );
            return self.write(CQL, values).await;
        }
        let cql = insert("stream_positions", PositionColumns::COLUMNS);
        self.write(&cql, PositionColumns::from(row)).await
    }

    /// Returns the positions of a job's stream.
    pub async fn stream_positions(&self, job: &str) -> Result<Vec<StreamPosition>, StoreError> {
        self.stored::<PositionColumns>("FROM stream_positions WHERE job = ?", (job,))
            .await
    }

    /// Returns the positions of all streams. Reads all partitions, which are few and small.
    pub async fn all_stream_positions(&self) -> Result<Vec<StreamPosition>, StoreError> {
        self.stored::<PositionColumns>("FROM stream_positions", ())
            .await
    }

    /// Writes a member's counts of a day.
    pub async fn write_stream_day(&self, row: &StreamDay) -> Result<(), StoreError> {
        let cql = insert("stream_days", DayColumns::COLUMNS);
        self.write(&cql, DayColumns::from(row)).await
    }

    /// Returns a job's days from `first` on, newest first.
    pub async fn stream_days(
        &self,
        job: &str,
        first: NaiveDate,
    ) -> Result<Vec<StreamDay>, StoreError> {
        self.stored::<DayColumns>("FROM stream_days WHERE job = ? AND day >= ?", (job, first))
            .await
    }
}
