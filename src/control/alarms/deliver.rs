//! Sends what is to be sent about alarms, at least once.
//!
//! An attempt is begun by a conditional write that also says when the next one is due, so that two
//! leaders do not send the same at once and a crash is followed by another attempt. Attempts run in
//! the background: a sink that hangs holds up nothing but its own messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use super::sinks::{AlarmSink, sinks};
use crate::{
    domain::alarm::delivery::{AlarmEvent, Delivery, pause},
    failpoint, metrics,
    store::{Store, admin::signals::ALARMS, driver::error::StoreError},
};

/// Longest time for which nothing is read if nothing changed.
const LOOK: Duration = Duration::from_secs(60);
/// Attempts under way at the same time.
const AT_ONCE: usize = 8;
/// Time beyond the sink's time limit after which an attempt counts as crashed.
const GRACE: Duration = Duration::from_secs(5);
/// Pause before a closing is looked at again whose alarm is still open.
const STILL_OPEN: TimeDelta = TimeDelta::seconds(20);

/// Identifies a delivery.
type Key = (Uuid, AlarmEvent, String);

/// Outcome of an attempt.
#[derive(Debug)]
pub struct Attempt {
    key: Key,
    /// Why it did not arrive.
    pub error: Option<String>,
}

/// Sends messages that are due. Keep it between rounds.
#[derive(Debug, Default)]
pub struct Deliverer {
    /// Messages that were not delivered when they were last read.
    waiting: Vec<Delivery>,
    signal: Option<Uuid>,
    read_at: Option<Instant>,
    under_way: BTreeSet<Key>,
    attempts: JoinSet<Attempt>,
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        metrics::ALARM_DELIVERIES_WAITING.gauge([]).set(0);
    }
}

impl Deliverer {
    /// Starts what is due. Costs one small read if nothing changed.
    ///
    /// # Errors
    /// Errors of Cassandra; the next round tries again.
    pub async fn round(&mut self, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sinks: BTreeMap<&str, AlarmSink> = sinks(store.config())
            .into_iter()
            .map(|sink| (sink.name(), sink))
            .collect();
        if sinks.is_empty() {
            return Ok(());
        }
        let signal = store.signal(ALARMS).await?;
        let is_old = self.read_at.is_none_or(|at| at.elapsed() >= LOOK);
        let is_due = self.waiting.iter().any(|waiting| waiting.is_due(now));
        if is_old || is_due || signal != self.signal {
            self.waiting = store.alarm_deliveries().await?;
            self.waiting
                .retain(|delivery| delivery.delivered_at.is_none());
            self.signal = signal;
            self.read_at = Some(Instant::now());
        }
        metrics::ALARM_DELIVERIES_WAITING
            .gauge([])
            .set(self.waiting.len() as f64);
        let due = self.waiting.iter().filter(|delivery| {
            delivery.is_due(now)
                && !self.under_way.contains(&key(delivery))
                && !self.follows(delivery)
        });
        let room = AT_ONCE.saturating_sub(self.under_way.len());
        let due: Vec<Delivery> = due.take(room).cloned().collect();
        for delivery in due {
            if let Some(sink) = sinks.get(delivery.sink.as_str()) {
                self.under_way.insert(key(&delivery));
                self.attempts
                    .spawn(attempt(store.clone(), sink.clone(), delivery, now));
            }
        }
        Ok(())
    }

    /// Returns whether the opening is not delivered yet to the sink that is to get this closing.
    fn follows(&self, delivery: &Delivery) -> bool {
        delivery.event == AlarmEvent::Closed
            && self.waiting.iter().any(|other| {
                other.event == AlarmEvent::Opened
                    && other.alarm == delivery.alarm
                    && other.sink == delivery.sink
            })
    }

    /// Returns whether attempts are under way.
    pub fn is_busy(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// Waits for the end of an attempt. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Attempt> {
        let ended = self.attempts.join_next().await?;
        match ended {
            Ok(attempt) => {
                self.under_way.remove(&attempt.key);
                if attempt.error.is_none() {
                    self.waiting.retain(|delivery| key(delivery) != attempt.key);
                }
                // The pause that was written decides when it is tried again.
                self.read_at = None;
                Some(attempt)
            }
            Err(panic) => {
                tracing::error!(%panic, "sending an alarm");
                // Which one is not known; Cassandra knows what is due.
                self.under_way.clear();
                None
            }
        }
    }
}

fn key(delivery: &Delivery) -> Key {
    (delivery.alarm, delivery.event, delivery.sink.clone())
}

async fn attempt(store: Store, sink: AlarmSink, delivery: Delivery, now: DateTime<Utc>) -> Attempt {
    let error = match try_once(&store, &sink, &delivery, now).await {
        Ok(None) => None,
        Ok(Some(error)) => Some(error),
        Err(error) => Some(error.to_string()),
    };
    Attempt {
        key: key(&delivery),
        error: error.map(|error| {
            let (event, alarm) = (delivery.event.as_str(), delivery.alarm);
            format!(
                "{} did not get that alarm {alarm} is {event}: {error}",
                sink.name()
            )
        }),
    }
}

/// Returns why the sink did not accept the message.
async fn try_once(
    store: &Store,
    sink: &AlarmSink,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let limit = store.config().alarms.timeout;
    let crashed_at = now + delta(limit + GRACE);
    if !store.begin_alarm_delivery(delivery, crashed_at).await? {
        return Ok(None);
    }
    let alarm = store.alarm(&delivery.job, delivery.alarm).await?;
    let Some(alarm) = alarm else {
        // The alarm has expired.
        store.finish_alarm_delivery(delivery, Utc::now()).await?;
        return Ok(None);
    };
    if delivery.event == AlarmEvent::Closed && alarm.is_open() {
        let later = Utc::now() + STILL_OPEN;
        store
            .fail_alarm_delivery(delivery, "the alarm is open", later)
            .await?;
        return Ok(None);
    }
    failpoint::hit("before_alarm_sent");
    let sent = sink
        .send(&alarm, delivery.event, store.keyspace(), limit)
        .await;
    failpoint::hit("after_alarm_sent");
    match sent {
        Ok(()) => {
            store.finish_alarm_delivery(delivery, Utc::now()).await?;
            Ok(None)
        }
        Err(error) => {
            let next_at = Utc::now() + delta(pause(delivery.attempts + 1));
            store.fail_alarm_delivery(delivery, &error, next_at).await?;
            Ok(Some(error))
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
