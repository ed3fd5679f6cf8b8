//! Conditions of streams: paused, waiting for long, messages lost.

use chrono::{DateTime, TimeDelta, Utc};

use super::{AlarmKind, Condition};

/// A stream that waits for longer alarms.
const PATIENCE: TimeDelta = TimeDelta::minutes(2);

/// An event of a stream that nobody has acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct OpenEvent<'a> {
    pub is_pause: bool,
    pub topic: &'a str,
    pub what: &'a str,
}

/// A member of a stream that waits.
#[derive(Debug, Clone, Copy)]
pub struct WaitingMember<'a> {
    pub topic: &'a str,
    pub reason: &'a str,
    pub since: DateTime<Utc>,
}

/// Returns a job's conditions. Only the newest of a topic's events of a kind is told.
pub fn conditions(
    job: &str,
    events: &[OpenEvent<'_>],
    waiting: &[WaitingMember<'_>],
    now: DateTime<Utc>,
) -> Vec<Condition> {
    let condition = |kind, subject: &str, what: String| Condition {
        job: job.to_owned(),
        kind,
        subject: subject.to_owned(),
        what,
        evidence: [("topic".to_owned(), subject.to_owned())].into(),
        run: None,
    };
    let mut found = Vec::new();
    for event in events {
        let kind = match event.is_pause {
            true => AlarmKind::StreamPaused,
            false => AlarmKind::MessagesLost,
        };
        let is_known = |known: &Condition| known.kind == kind && known.subject == event.topic;
        if !found.iter().any(is_known) {
            found.push(condition(kind, event.topic, event.what.to_owned()));
        }
    }
    for member in waiting {
        if now - member.since > PATIENCE {
            let what = format!("the stream waits: {}", member.reason);
            found.push(condition(AlarmKind::StreamWaiting, member.topic, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_event_of_a_topic_and_long_waits_alarm() {
        let now = Utc::now();
        let pause = |what| OpenEvent {
            is_pause: true,
            topic: "t",
            what,
        };
        let wait = |since| WaitingMember {
            topic: "t",
            reason: "no broker",
            since,
        };
        let lost = OpenEvent {
            is_pause: false,
            ..pause("gone")
        };
        let waiting = [
            wait(now - TimeDelta::minutes(1)),
            wait(now - TimeDelta::minutes(3)),
        ];
        let found = conditions("j", &[pause("new"), pause("old"), lost], &waiting, now);
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.key(), one.what.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("stream_paused/t".to_owned(), "new"),
                ("messages_lost/t".to_owned(), "gone"),
                ("stream_waiting/t".to_owned(), "the stream waits: no broker"),
            ]
        );
    }
}
