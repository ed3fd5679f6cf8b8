//! What a member of a stream reports: `streams`, `stream_positions`, `stream_days`, metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use futures::FutureExt;
use uuid::Uuid;

use super::{
    batch::ReadyBatch,
    positions::{PositionWriter, Positions},
    reader::PartitionEnds,
};
use crate::{
    metrics, process,
    store::{
        Store,
        driver::error::StoreError,
        streams::{StreamCounts, StreamDay, StreamRow},
    },
};

/// Interval between two reports.
const BEAT: Duration = Duration::from_secs(2);
/// Number of reports after which all positions are written again. This corrects what a frozen member
/// wrote after it woke up.
const REWRITE_BEATS: i64 = 15;
/// Time to live of a report.
const TTL_SECONDS: i32 = 15;
/// How long the row of a member that has left remains visible.
const LEFT_SECONDS: i32 = 5;
/// Longest wait for a last report.
const LAST_REPORT: Duration = Duration::from_secs(3);

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
    positions: Option<Positions>,
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
                positions: None,
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
        inner.positions = None;
    }

    /// Adds a batch that is committed.
    pub fn committed(&self, batch: &ReadyBatch) {
        let mut inner = self.lock();
        let known = inner.positions.take();
        let mut positions = known
            .filter(|known| known.are_of(&batch.generation))
            .unwrap_or_else(|| Positions::at_start(Arc::clone(&batch.generation)));
        positions.advance(batch);
        inner.positions = Some(positions);
        drop(inner);
        self.count(&batch.counts);
    }

    /// Returns how far the partitions that are this member's now are read.
    fn positions(&self) -> Option<(Positions, Arc<PartitionEnds>)> {
        let inner = self.lock();
        let ends = inner.ends.clone()?;
        let known = inner.positions.clone();
        drop(inner);
        let generation = ends.generation()?;
        let positions = known
            .filter(|known| known.are_of(&generation))
            .unwrap_or_else(|| Positions::at_start(generation));
        Some((positions, ends))
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

    /// Writes the last positions before the member leaves its group. Perhaps no other member will read
    /// the partitions, and write them.
    pub async fn write_last_positions(&self, store: &Store) {
        let (row, known, ends) = {
            let inner = self.lock();
            (
                row(self, &inner),
                inner.positions.clone(),
                inner.ends.clone(),
            )
        };
        let (Some(known), Some(ends)) = (known, ends) else {
            return;
        };
        let mut writer = PositionWriter::of_a_leaver();
        let written = writer.write(store, &row, known, ends).boxed();
        // Whoever reads next writes what is not written in time.
        if let Ok(Err(error)) = tokio::time::timeout(LAST_REPORT, written).await {
            tracing::warn!(job = self.job, %error, "could not report positions");
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
        let _ = tokio::time::timeout(LAST_REPORT, written).await;
    }
}

/// What was written before.
#[derive(Default)]
struct ReportWriter {
    beat: i64,
    last: Option<(Instant, u64)>,
    positions: PositionWriter,
    days: BTreeMap<NaiveDate, StreamCounts>,
}

impl ReportWriter {
    async fn write(
        &mut self,
        report: &StreamReport,
        store: &Store,
        ttl: i32,
    ) -> Result<(), StoreError> {
        let (mut row, days) = {
            let inner = report.lock();
            (row(report, &inner), inner.days.clone())
        };
        let now = Instant::now();
        if let Some((at, received)) = self.last {
            let seconds = (now - at).as_secs_f64().max(0.001);
            row.messages_per_s = row.received.saturating_sub(received) as f64 / seconds;
        }
        self.last = Some((now, row.received));
        self.beat += 1;
        row.beat = self.beat;
        if self.beat % REWRITE_BEATS == 0 {
            self.positions = PositionWriter::default();
        }
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
        let lag = match report.positions() {
            Some((positions, ends)) => self.positions.write(store, &row, positions, ends).await?,
            None => 0,
        };
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
