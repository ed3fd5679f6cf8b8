//! What a member of a stream reports: `streams`, `stream_positions`, `stream_days`, metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;
use uuid::Uuid;

use super::{batch::NextPosition, reader::PartitionEnds};
use crate::{
    metrics, process,
    store::{
        Store,
        driver::error::StoreError,
        streams::{StreamCounts, StreamDay, StreamPosition, StreamRow},
    },
};

/// Interval between two reports.
const BEAT: Duration = Duration::from_secs(2);
/// Time to live of a report.
const TTL_SECONDS: i32 = 15;
/// How long the row of a member that has left remains visible.
const LEFT_SECONDS: i32 = 5;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    Starting,
    Running,
    /// For a reason that is expected to pass.
    Waiting,
    /// Until people say otherwise.
    Paused,
    Stopped,
}

impl StreamState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of one member, for all who want to know.
pub struct StreamReport {
    job: String,
    pub member: Uuid,
    started_at: DateTime<Utc>,
    inner: Mutex<Inner>,
}

struct Inner {
    topic: String,
    slot: Option<i32>,
    state: StreamState,
    reason: Option<String>,
    since: DateTime<Utc>,
    counts: StreamCounts,
    /// Counts of the days since the start that are not over.
    days: BTreeMap<NaiveDate, StreamCounts>,
    positions: BTreeMap<i32, NextPosition>,
    ends: Option<Arc<PartitionEnds>>,
}

impl StreamReport {
    /// Returns the report of a member that starts.
    pub fn new(job: &str) -> Self {
        let now = Utc::now();
        Self {
            job: job.to_owned(),
            member: Uuid::new_v4(),
            started_at: now,
            inner: Mutex::new(Inner {
                topic: String::new(),
                slot: None,
                state: StreamState::Starting,
                reason: None,
                since: now,
                counts: StreamCounts::default(),
                days: BTreeMap::new(),
                positions: BTreeMap::new(),
                ends: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Only whole values are assigned.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what the member does, and why.
    pub fn state(&self, state: StreamState, reason: Option<&str>) {
        let mut inner = self.lock();
        if inner.state != state {
            inner.since = Utc::now();
        }
        let is_news = inner.state != state || inner.reason.as_deref() != reason;
        if is_news && (reason.is_some() || state == StreamState::Running) {
            let job = &self.job;
            match state {
                StreamState::Waiting | StreamState::Paused => {
                    tracing::warn!(job, reason, "the stream is {}", state.as_str());
                }
                _ => tracing::info!(job, reason, "the stream is {}", state.as_str()),
            }
        }
        inner.state = state;
        inner.reason = reason.map(str::to_owned);
        let running = f64::from(u8::from(state == StreamState::Running));
        metrics::STREAM_STATE.gauge([&self.job]).set(running);
    }

    /// Records what the member reads.
    pub fn reads(&self, topic: &str, slot: i32, ends: PartitionEnds) {
        let mut inner = self.lock();
        inner.topic = topic.to_owned();
        inner.slot = Some(slot);
        inner.ends = Some(Arc::new(ends));
    }

    /// Records that the member reads nothing any more.
    pub fn left(&self) {
        let mut inner = self.lock();
        inner.slot = None;
        inner.ends = None;
        inner.positions.clear();
    }

    /// Adds a batch that is committed.
    pub fn committed(&self, counts: &StreamCounts, positions: &BTreeMap<i32, NextPosition>) {
        let mut inner = self.lock();
        inner.positions.extend(positions.clone());
        drop(inner);
        self.count(counts);
    }

    /// Adds counts.
    pub fn count(&self, counts: &StreamCounts) {
        let mut inner = self.lock();
        inner.counts.add(counts);
        inner
            .days
            .entry(Utc::now().date_naive())
            .or_default()
            .add(counts);
        drop(inner);
        metrics::STREAM_RECEIVED
            .counter([&self.job])
            .increment(counts.received);
        for (outcome, count) in [
            ("scored", counts.scored),
            ("rejected", counts.rejected),
            ("upserted", counts.upserted),
            ("deleted", counts.deleted),
            ("ignored", counts.ignored),
            ("lost", counts.lost),
        ] {
            if count > 0 {
                metrics::STREAM_OUTCOMES
                    .counter([&self.job, outcome])
                    .increment(count);
            }
        }
    }

    /// Writes reports until aborted.
    pub async fn keep(self: Arc<Self>, store: Store) {
        let mut writer = ReportWriter::default();
        loop {
            if let Err(error) = writer.write(&self, &store, TTL_SECONDS).boxed().await {
                tracing::warn!(job = self.job, %error, "could not report what the stream does");
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Writes the last report.
    pub async fn leave(&self, store: &Store) {
        self.state(StreamState::Stopped, None);
        let mut writer = ReportWriter {
            beat: i64::MAX - 1,
            ..ReportWriter::default()
        };
        let written = writer.write(self, store, LEFT_SECONDS).boxed();
        // A late write is not waited for: the row expires without it.
        let _ = tokio::time::timeout(Duration::from_secs(3), written).await;
    }
}

/// What was written before.
#[derive(Default)]
struct ReportWriter {
    beat: i64,
    last: Option<(Instant, u64)>,
    positions: BTreeMap<i32, (i64, Option<i64>)>,
    days: BTreeMap<NaiveDate, StreamCounts>,
}

impl ReportWriter {
    async fn write(
        &mut self,
        report: &StreamReport,
        store: &Store,
        ttl: i32,
    ) -> Result<(), StoreError> {
        let (mut row, positions, days, ends) = {
            let inner = report.lock();
            let row = row(report, &inner);
            (
                row,
                inner.positions.clone(),
                inner.days.clone(),
                inner.ends.clone(),
            )
        };
        let now = Instant::now();
        if let Some((at, received)) = self.last {
            let seconds = (now - at).as_secs_f64().max(0.001);
            row.messages_per_s = row.received.saturating_sub(received) as f64 / seconds;
        }
        self.last = Some((now, row.received));
        self.beat += 1;
        row.beat = self.beat;
        store.write_stream(&row, ttl).await?;
        for (day, counts) in &days {
            if self.days.get(day) == Some(counts) {
                continue;
            }
            let written = StreamDay {
                job: row.job.clone(),
                day: *day,
                member: row.member,
                received: counts.received,
                scored: counts.scored,
                rejected: counts.rejected,
                upserted: counts.upserted,
                deleted: counts.deleted,
                ignored: counts.ignored,
                lost: counts.lost,
                updated_at: row.beat_at,
            };
            store.write_stream_day(&written).await?;
            self.days.insert(*day, *counts);
        }
        report.forget_days(row.beat_at.date_naive());
        self.write_positions(store, &row, positions, ends).await
    }

    async fn write_positions(
        &mut self,
        store: &Store,
        row: &StreamRow,
        positions: BTreeMap<i32, NextPosition>,
        ends: Option<Arc<PartitionEnds>>,
    ) -> Result<(), StoreError> {
        let partitions: Vec<i32> = positions.keys().copied().collect();
        let ends: BTreeMap<i32, i64> = match ends {
            Some(ends) => tokio::task::spawn_blocking(move || {
                // The first one that does not answer is enough of waiting.
                let end = |partition: i32| Some((partition, ends.end(partition)?));
                partitions.into_iter().map_while(end).collect()
            })
            .await
            .unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let mut lag = 0;
        for (partition, next) in positions {
            let end = ends.get(&partition).copied();
            let position = StreamPosition {
                job: row.job.clone(),
                topic: row.topic.clone(),
                partition,
                position: next.offset,
                end_position: end,
                message_at: next.message_at,
                member: row.member,
                updated_at: row.beat_at,
            };
            lag += position.lag().unwrap_or_default();
            if self.positions.get(&partition) == Some(&(next.offset, end)) {
                continue;
            }
            store.write_stream_position(&position).await?;
            self.positions.insert(partition, (next.offset, end));
        }
        metrics::STREAM_LAG.gauge([&row.job]).set(lag as f64);
        Ok(())
    }
}

impl StreamReport {
    fn forget_days(&self, today: NaiveDate) {
        self.lock()
            .days
            .retain(|day, _| *day + chrono::Days::new(1) >= today);
    }
}

fn row(report: &StreamReport, inner: &Inner) -> StreamRow {
    let is_idle = matches!(inner.state, StreamState::Waiting | StreamState::Paused);
    StreamRow {
        job: report.job.clone(),
        member: report.member,
        host: process::host(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        topic: inner.topic.clone(),
        slot: inner.slot,
        state: inner.state.as_str().to_owned(),
        reason: inner.reason.clone(),
        waiting_since: is_idle.then_some(inner.since),
        received: inner.counts.received,
        scored: inner.counts.scored,
        rejected: inner.counts.rejected,
        upserted: inner.counts.upserted,
        deleted: inner.counts.deleted,
        ignored: inner.counts.ignored,
        lost: inner.counts.lost,
        messages_per_s: 0.0,
        started_at: report.started_at,
        beat: 0,
        beat_at: Utc::now(),
    }
}
