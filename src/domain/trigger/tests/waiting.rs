//! Triggers without a clock.

use super::*;

fn pending(set: impl FnOnce(&mut TriggerRow)) -> Trigger {
    trigger(|row| {
        row.pending_rows = Some(100);
        set(row);
    })
}

fn waiting(estimate: Option<Estimate>, hints: Option<Hints>) -> Facts {
    Facts {
        news: News::Waiting {
            estimate,
            hints,
            failed_at: None,
        },
        ..quiet()
    }
}

#[test]
fn enough_pending_rows_fire_and_so_does_one_that_waits_for_long() {
    let now = at("2027-01-01T00:05:00Z");
    let status = TriggerStatus::default();
    let trigger = pending(|row| row.oldest_wait = Some("10m".into()));
    let few = Estimate::counted(now, 1_000, 99).since(None, None);
    let outcome = decide(&trigger, &status, now, waiting(Some(few.clone()), None));
    assert_eq!(
        outcome,
        Outcome::Wait {
            until: None,
            reason: None
        }
    );
    let later = now + TimeDelta::minutes(10);
    assert!(matches!(
        decide(&trigger, &status, later, waiting(Some(few), None)),
        Outcome::Fire(_)
    ));
    let enough = Estimate::counted(now, 1_000, 100);
    let Outcome::Fire(firing) = decide(&trigger, &status, now, waiting(Some(enough.clone()), None))
    else {
        panic!()
    };
    assert_eq!((firing.due, firing.keys), (now, None));
    let busy = Facts {
        open: open(true).open,
        ..waiting(Some(enough.clone()), None)
    };
    assert!(matches!(
        decide(&trigger, &status, now, busy),
        Outcome::Wait {
            reason: Some(_),
            ..
        }
    ));
    let failed = News::Waiting {
        estimate: Some(enough),
        hints: None,
        failed_at: Some(now),
    };
    let failed = Facts {
        news: failed,
        ..quiet()
    };
    let outcome = decide(&trigger, &status, now, failed);
    assert!(
        matches!(outcome, Outcome::Wait { until: Some(until), .. } if until == later - TimeDelta::minutes(5))
    );
}

#[test]
fn hints_fire_a_run_over_their_keys_and_many_a_run_over_all() {
    let now = at("2027-01-01T00:05:00Z");
    let trigger = pending(|row| row.use_hints = Some(true));
    let hints = |count, keys| Hints {
        keys,
        count,
        oldest: Some(now),
        cursor: "here".into(),
        overdue: false,
    };
    let decided = |hints| {
        decide(
            &trigger,
            &TriggerStatus::default(),
            now,
            waiting(None, Some(hints)),
        )
    };
    assert!(matches!(
        decided(hints(99, Some(vec![]))),
        Outcome::Wait { .. }
    ));
    let Outcome::Fire(firing) = decided(hints(100, Some(vec![Key::new()]))) else {
        panic!()
    };
    assert_eq!(
        (firing.keys.map(|keys| keys.len()), firing.cursor.as_deref()),
        (Some(1), Some("here"))
    );
    let Outcome::Fire(firing) = decided(hints(5_000, None)) else {
        panic!()
    };
    assert_eq!(firing.keys, None);
    let overdue = Hints {
        overdue: true,
        ..hints(0, None)
    };
    let Outcome::Fire(firing) = decided(overdue) else {
        panic!()
    };
    assert_eq!(
        (firing.keys, firing.cursor.as_deref()),
        (None, Some("here"))
    );
}

#[test]
fn two_events_of_the_same_time_are_two_runs() {
    let trigger = trigger(|row| row.on_promotion = Some("champion".into()));
    let moved = at("2027-01-01T00:05:00Z");
    let status = TriggerStatus {
        last_due: Some(moved),
        ..TriggerStatus::default()
    };
    let news = News::Moved {
        at: moved,
        cursor: "2".into(),
    };
    let Outcome::Fire(firing) = decide(&trigger, &status, moved, Facts { news, ..quiet() }) else {
        panic!()
    };
    assert_eq!(firing.due, moved + TimeDelta::milliseconds(1));
}

#[test]
fn an_alarm_fires_now_and_says_which_one_it_is() {
    let trigger = trigger(|row| row.on_alarm = Some("drift".into()));
    assert_eq!(trigger.when.to_string(), "on alarm drift");
    let now = at("2027-01-01T00:05:00Z");
    let news = News::Alarmed {
        what: "alarm 7: drift".into(),
        cursor: "[7]".into(),
    };
    let facts = Facts { news, ..quiet() };
    let Outcome::Fire(firing) = decide(&trigger, &TriggerStatus::default(), now, facts) else {
        panic!()
    };
    assert_eq!(firing.due, now);
    assert_eq!(firing.cursor.as_deref(), Some("[7]"));
    assert_eq!(firing.why.as_deref(), Some("alarm 7: drift"));
}

/// A column that a newer helenus added must not make every older row look changed.
#[test]
fn a_row_without_an_alarm_hashes_as_before_there_were_any() {
    let row = row(|row| row.every = Some("5m".into()));
    assert!(!serde_json::to_string(&row).unwrap().contains("on_alarm"));
}
