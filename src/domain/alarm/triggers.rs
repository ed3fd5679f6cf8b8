//! `trigger_not_fired`: a trigger that cannot fire, or whose last firing made no run.
//!
//! A firing that its own `overlap` policy skips is as its author chose, and no alarm.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{AlarmKind, Condition};
use crate::{
    codec::utc,
    domain::trigger::{TriggerRow, TriggerState, TriggerStatus, duration},
};

/// How long after its due time a trigger counts as not fired.
const OVERDUE: Duration = Duration::from_secs(300);

/// Returns the triggers that did not fire although they should have. `rows` are those of the
/// triggers; a status without a row is of a trigger that was removed.
pub fn not_fired(
    rows: &[TriggerRow],
    statuses: &[TriggerStatus],
    now: DateTime<Utc>,
) -> Vec<Condition> {
    statuses
        .iter()
        .filter_map(|status| {
            let row = rows
                .iter()
                .find(|row| row.job == status.job && row.name == status.name)?;
            let why = why_not(row, status, now)?;
            let mut evidence = BTreeMap::from([("trigger".to_owned(), status.name.clone())]);
            evidence.insert("reason".to_owned(), why.clone());
            if let Some(at) = status.last_at {
                evidence.insert("decided_at".to_owned(), utc::to_second(at));
            }
            Some(Condition {
                job: status.job.clone(),
                kind: AlarmKind::TriggerNotFired,
                subject: status.name.clone(),
                what: format!("trigger `{}` {why}", status.name),
                evidence,
                run: None,
            })
        })
        .collect()
}

fn why_not(row: &TriggerRow, status: &TriggerStatus, now: DateTime<Utc>) -> Option<String> {
    if row.removed == Some(true) || row.paused == Some(true) {
        return None;
    }
    let reason = status
        .last_reason
        .as_deref()
        .unwrap_or("no reason is recorded");
    match status.state {
        TriggerState::Invalid => {
            let problems = status.problems.join("; ");
            return Some(format!("does not fire: {problems}"));
        }
        TriggerState::Paused | TriggerState::Removed => return None,
        TriggerState::Ready => {}
    }
    if status.last_outcome.as_deref() == Some("refused") {
        return Some(format!("fired, and its run was refused: {reason}"));
    }
    let jitter = row
        .jitter
        .as_deref()
        .and_then(|text| duration::parse(text).ok());
    let grace = TimeDelta::from_std(OVERDUE + jitter.unwrap_or_default()).ok()?;
    let due = status.next_due.filter(|due| *due + grace < now)?;
    Some(format!(
        "was due at {} and has not fired",
        utc::to_second(due)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm_of(status: TriggerStatus, row: TriggerRow) -> Option<String> {
        let (job, name) = ("j".to_owned(), "nightly".to_owned());
        let row = TriggerRow {
            job: job.clone(),
            name: name.clone(),
            ..row
        };
        let status = TriggerStatus {
            job,
            name,
            ..status
        };
        let found = not_fired(&[row], &[status], Utc::now());
        found.first().map(|condition| condition.what.clone())
    }

    #[test]
    fn refused_invalid_and_overdue_alarm_but_skipped_and_paused_do_not() {
        let ready = TriggerStatus {
            state: TriggerState::Ready,
            ..TriggerStatus::default()
        };
        let outcome = |outcome: &str| TriggerStatus {
            last_outcome: Some(outcome.to_owned()),
            last_reason: Some("job `j` is invalid".to_owned()),
            ..ready.clone()
        };
        let plain = TriggerRow::default;
        assert_eq!(
            alarm_of(outcome("refused"), plain()).unwrap(),
            "trigger `nightly` fired, and its run was refused: job `j` is invalid"
        );
        assert_eq!(alarm_of(outcome("skipped"), plain()), None);
        let invalid = TriggerStatus {
            problems: vec!["no such job".to_owned()],
            ..TriggerStatus::default()
        };
        assert!(alarm_of(invalid.clone(), plain()).is_some());
        let paused = TriggerRow {
            paused: Some(true),
            ..plain()
        };
        assert_eq!(alarm_of(invalid, paused), None);
        let due = |seconds: i64| TriggerStatus {
            next_due: Some(Utc::now() - TimeDelta::seconds(seconds)),
            ..ready.clone()
        };
        assert!(alarm_of(due(400), plain()).is_some());
        assert_eq!(alarm_of(due(200), plain()), None);
        let jittered = TriggerRow {
            jitter: Some("10m".to_owned()),
            ..plain()
        };
        assert_eq!(alarm_of(due(400), jittered), None);
    }
}
