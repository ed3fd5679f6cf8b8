//! Decides when a retraining is due. Pure: the same facts always give the same decision.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Retraining;
use crate::{codec::utc, domain::alarm::Alarm};

/// What was taken into account already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrainingCursor {
    /// Milliseconds since 1970 up to which ticks of the clock are used up.
    pub ticks_until: i64,
    /// Open alarms that caused a training.
    pub alarms: BTreeSet<Uuid>,
    /// Labelled rows known at the last training.
    pub labelled_rows: Option<u64>,
    /// The last start by hand.
    pub start: Option<Uuid>,
}

/// What may make a retraining due.
#[derive(Debug)]
pub struct RetrainingFacts<'a> {
    pub now: DateTime<Utc>,
    /// Open alarms of the job.
    pub alarms: &'a [Alarm],
    /// Labelled rows that the newest evaluation found; `None`: there is none.
    pub labelled_rows: Option<u64>,
}

/// Returns the cause if the retraining is due, and the cursor after the decision. `cursor` is `None`
/// for a retraining that is new: it waits for what comes later, but a start by hand counts.
pub fn decide(
    retraining: &Retraining,
    cursor: Option<RetrainingCursor>,
    facts: &RetrainingFacts<'_>,
) -> (Option<String>, RetrainingCursor) {
    let now_ms = facts.now.timestamp_millis();
    let mut cursor = cursor.unwrap_or_else(|| RetrainingCursor {
        ticks_until: now_ms,
        labelled_rows: facts.labelled_rows,
        ..RetrainingCursor::default()
    });
    if cursor.labelled_rows.is_none() {
        cursor.labelled_rows = facts.labelled_rows;
    }
    let mut causes = Vec::new();
    if let Some(start) = retraining
        .start
        .filter(|start| Some(*start) != cursor.start)
    {
        cursor.start = Some(start);
        causes.push("started by hand".to_owned());
    }
    if retraining.is_paused {
        // Ticks that pass meanwhile are not made up for.
        tick(retraining, &mut cursor, facts.now);
        return (causes.pop(), cursor);
    }
    causes.extend(tick(retraining, &mut cursor, facts.now));
    causes.extend(alarm(retraining, &mut cursor, facts.alarms));
    if let Some((more, labelled)) = retraining.labelled_rows.zip(facts.labelled_rows) {
        let before = cursor.labelled_rows.unwrap_or_default();
        if labelled >= before.saturating_add(more) {
            causes.push(format!("{} more labelled rows", labelled - before));
        }
    }
    if !causes.is_empty() {
        cursor.labelled_rows = facts.labelled_rows.or(cursor.labelled_rows);
    }
    let cause = causes.join("; ");
    (Some(cause).filter(|cause| !cause.is_empty()), cursor)
}

/// Uses up the ticks of the clock; several that passed meanwhile make one training.
fn tick(
    retraining: &Retraining,
    cursor: &mut RetrainingCursor,
    now: DateTime<Utc>,
) -> Option<String> {
    let until = DateTime::from_timestamp_millis(cursor.ticks_until)?;
    let due = retraining.schedule.as_ref()?.next_after(until)?;
    if due > now {
        return None;
    }
    cursor.ticks_until = now.timestamp_millis();
    let due = utc::to_second(due);
    Some(format!("due at {due}"))
}

fn alarm(
    retraining: &Retraining,
    cursor: &mut RetrainingCursor,
    alarms: &[Alarm],
) -> Option<String> {
    cursor
        .alarms
        .retain(|id| alarms.iter().any(|alarm| alarm.id == *id));
    let pattern = retraining.on_alarm.as_ref()?;
    let mut meant = alarms.iter().filter(|alarm| pattern.matches(alarm));
    let new = meant.find(|alarm| !cursor.alarms.contains(&alarm.id))?;
    cursor.alarms.insert(new.id);
    Some(format!("alarm {}: {}", new.id, new.what))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::retraining::RetrainingRow;

    fn retraining(row: RetrainingRow) -> Retraining {
        Retraining::read(&RetrainingRow {
            model: "m".to_owned(),
            name: "n".to_owned(),
            job: Some("j".to_owned()),
            trainer: Some("t".to_owned()),
            labels: Some("a.b.c".to_owned()),
            ..row
        })
        .unwrap()
    }

    fn facts(now: DateTime<Utc>, alarms: &[Alarm], labelled: Option<u64>) -> RetrainingFacts<'_> {
        RetrainingFacts {
            now,
            alarms,
            labelled_rows: labelled,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn ticks_that_passed_make_one_training_and_none_before_the_first_look() {
        let hourly = retraining(RetrainingRow {
            cron: Some("0 * * * *".to_owned()),
            ..RetrainingRow::default()
        });
        let start = at("2026-01-01T10:30:00Z");
        let (cause, cursor) = decide(&hourly, None, &facts(start, &[], None));
        assert_eq!(cause, None);
        let later = at("2026-01-01T13:10:00Z");
        let (cause, cursor) = decide(&hourly, Some(cursor), &facts(later, &[], None));
        assert_eq!(cause.unwrap(), "due at 2026-01-01T11:00:00Z");
        let (cause, cursor) = decide(&hourly, Some(cursor), &facts(later, &[], None));
        assert_eq!(cause, None);
        // A clock that steps back repeats nothing.
        let (cause, cursor) = decide(&hourly, Some(cursor), &facts(start, &[], None));
        assert_eq!(cause, None);
        let (cause, _) = decide(&hourly, Some(cursor), &facts(later, &[], None));
        assert_eq!(cause, None);
    }

    #[test]
    fn an_alarm_seen_in_two_runs_causes_one_training() {
        let on_alarm = retraining(RetrainingRow {
            on_alarm: Some("moved_output".to_owned()),
            ..RetrainingRow::default()
        });
        let alarm = |seen| Alarm {
            id: Uuid::from_u128(5),
            kind: "moved_output".to_owned(),
            seen,
            last_run: Some(Uuid::from_u128(9)),
            ..Alarm::default()
        };
        let now = Utc::now();
        let (cause, cursor) = decide(&on_alarm, None, &facts(now, &[alarm(1)], None));
        assert_eq!(cause, None);
        let (cause, cursor) = decide(&on_alarm, Some(cursor), &facts(now, &[alarm(2)], None));
        assert!(cause.unwrap().starts_with("alarm "));
        let (cause, cursor) = decide(&on_alarm, Some(cursor), &facts(now, &[alarm(3)], None));
        assert_eq!(cause, None);
        let other = Alarm {
            id: Uuid::from_u128(6),
            ..alarm(2)
        };
        let (cause, _) = decide(&on_alarm, Some(cursor), &facts(now, &[other], None));
        assert!(cause.is_some());
    }

    #[test]
    fn labelled_rows_count_since_the_last_training_of_any_cause() {
        let more = retraining(RetrainingRow {
            labelled_rows: Some(100),
            start: Some(Uuid::from_u128(1)),
            ..RetrainingRow::default()
        });
        let now = Utc::now();
        let (cause, cursor) = decide(&more, None, &facts(now, &[], Some(500)));
        assert_eq!(cause.unwrap(), "started by hand");
        let (cause, cursor) = decide(&more, Some(cursor), &facts(now, &[], Some(599)));
        assert_eq!(cause, None);
        let (cause, cursor) = decide(&more, Some(cursor), &facts(now, &[], Some(620)));
        assert_eq!(cause.unwrap(), "120 more labelled rows");
        let (cause, _) = decide(&more, Some(cursor), &facts(now, &[], Some(700)));
        assert_eq!(cause, None);
    }

    #[test]
    fn a_paused_retraining_starts_by_hand_only() {
        let paused = retraining(RetrainingRow {
            cron: Some("* * * * *".to_owned()),
            paused: Some(true),
            start: Some(Uuid::from_u128(1)),
            ..RetrainingRow::default()
        });
        let now = Utc::now();
        let (cause, cursor) = decide(&paused, None, &facts(now, &[], None));
        assert_eq!(cause.unwrap(), "started by hand");
        let later = now + TimeDelta::hours(1);
        assert_eq!(
            decide(&paused, Some(cursor), &facts(later, &[], None)).0,
            None
        );
    }
}
