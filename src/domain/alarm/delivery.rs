//! What is sent about an alarm, and when it is sent again.
//!
//! The message follows Standard Webhooks (<https://www.standardwebhooks.com>): `type`, `timestamp`,
//! `data`, and an id that is the same in each attempt.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Alarm;
use crate::{codec::utc, domain::spelling::spelled};

/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// What happened to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmEvent {
    Opened,
    Closed,
}

spelled! {
    AlarmEvent {
        Opened => "opened",
        Closed => "closed",
    }
}

/// A row of `alarm_deliveries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub job: String,
    pub alarm: Uuid,
    pub event: AlarmEvent,
    pub sink: String,
    /// Attempts that were begun.
    pub attempts: i32,
    /// When the next attempt is due.
    pub next_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub delivered_at: Option<DateTime<Utc>>,
}

impl Delivery {
    /// Returns whether an attempt is due. A time further away than any pause was written by a clock
    /// that was ahead, and does not count.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        let bound = TimeDelta::from_std(2 * MAX_PAUSE).unwrap_or(TimeDelta::MAX);
        let waits = self.next_at.is_some_and(|at| at > now && at - now <= bound);
        self.delivered_at.is_none() && !waits
    }
}

/// Returns the pause after this many failed attempts: 1 s, 2 s, 4 s … 5 min.
pub fn pause(attempts: i32) -> Duration {
    let doublings = attempts.saturating_sub(1).clamp(0, 9).unsigned_abs();
    (Duration::from_secs(1) * 2_u32.pow(doublings)).min(MAX_PAUSE)
}

/// Returns the id of the message about an event; the same whenever it is sent.
pub fn message_id(alarm: Uuid, event: AlarmEvent) -> String {
    format!("alarm_{}_{}", alarm.simple(), event.as_str())
}

/// Returns the message about an event, in `keyspace`.
pub fn message(alarm: &Alarm, event: AlarmEvent, keyspace: &str) -> Value {
    let at = match event {
        AlarmEvent::Opened => alarm.since,
        AlarmEvent::Closed => alarm.closed_at,
    };
    json!({
        "type": format!("alarm.{}", event.as_str()),
        "id": message_id(alarm.id, event),
        "timestamp": at.map(utc::to_millisecond),
        "data": {
            "keyspace": keyspace,
            "alarm": alarm.id,
            "job": alarm.job,
            "kind": alarm.kind,
            "subject": alarm.subject,
            "what": alarm.what,
            "evidence": alarm.evidence,
            "since": alarm.since.map(utc::to_millisecond),
            "closed_at": alarm.closed_at.map(utc::to_millisecond),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds = [1, 2, 3, 9, 10, i32::MAX].map(|attempts| pause(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn a_time_that_no_pause_reaches_does_not_hold_a_delivery_up() {
        let now = Utc::now();
        let at = |seconds| Delivery {
            job: "j".to_owned(),
            alarm: Uuid::nil(),
            event: AlarmEvent::Opened,
            sink: "log".to_owned(),
            attempts: 1,
            next_at: Some(now + TimeDelta::seconds(seconds)),
            error: None,
            delivered_at: None,
        };
        assert!(at(-1).is_due(now) && !at(200).is_due(now) && at(7_200).is_due(now));
        let delivered = Delivery {
            delivered_at: Some(now),
            ..at(-1)
        };
        assert!(!delivered.is_due(now));
    }
}
