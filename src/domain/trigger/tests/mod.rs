//! Rows and decisions.

mod waiting;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    decide::{
        Facts, Firing, Hints, JobIs, News, OpenRun, Outcome, Resume, decide, jitter,
        next_after_queue, resume,
    },
    estimate::Estimate,
    *,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn row(set: impl FnOnce(&mut TriggerRow)) -> TriggerRow {
    let mut row = TriggerRow {
        job: "tumour".into(),
        name: "t".into(),
        ..TriggerRow::default()
    };
    set(&mut row);
    row
}

fn trigger(set: impl FnOnce(&mut TriggerRow)) -> Trigger {
    Trigger::read(&row(set)).unwrap()
}

fn codes(set: impl FnOnce(&mut TriggerRow)) -> Vec<String> {
    let problems = Trigger::read(&row(set)).unwrap_err();
    problems.into_iter().map(|problem| problem.code).collect()
}

fn quiet() -> Facts {
    Facts {
        job: JobIs::Active,
        open: None,
        news: News::None,
    }
}

fn open(asked_for: bool) -> Facts {
    Facts {
        open: Some(OpenRun {
            run_id: Uuid::nil(),
            asked_for,
        }),
        ..quiet()
    }
}

fn due_next(next: &str) -> TriggerStatus {
    TriggerStatus {
        next_due: Some(at(next)),
        ..TriggerStatus::default()
    }
}

fn every(text: &str, set: impl FnOnce(&mut TriggerRow)) -> Trigger {
    trigger(|row| {
        row.every = Some(text.into());
        set(row);
    })
}

/// The due time and the next one of a firing.
#[track_caller]
fn fired(outcome: Outcome) -> (String, String) {
    let Outcome::Fire(firing) = outcome else {
        panic!("{outcome:?}");
    };
    let time = |at: DateTime<Utc>| at.format("%H:%M:%S").to_string();
    (time(firing.due), time(firing.next_due.unwrap()))
}

#[test]
fn every_mistake_of_a_row_is_told_at_once() {
    assert_eq!(codes(|_| {}), ["trigger.no_kind"]);
    let several = codes(|row| {
        row.every = Some("5m".into());
        row.after_job = Some("x".into());
    });
    assert_eq!(several, ["trigger.several_kinds"]);
    let all = codes(|row| {
        row.name = "request".into();
        row.cron = Some("nonsense".into());
        row.time_zone = Some("Europe/Roma".into());
        row.overlap = Some("maybe".into());
        row.missed = Some("some".into());
        row.missed_limit = Some(0);
        row.jitter = Some("soon".into());
        row.deadline = Some("late".into());
        row.scope = Some("keys".into());
        row.max_rows_per_s = Some(0);
    });
    let expected = [
        "name",
        "time_zone",
        "cron",
        "overlap",
        "missed_limit",
        "missed",
        "jitter",
        "deadline",
        "scope",
        "max_rows_per_s",
    ];
    assert_eq!(all, expected.map(|column| format!("trigger.{column}")));
    let misplaced = codes(|row| {
        row.on_promotion = Some("champion".into());
        row.time_zone = Some("Europe/Rome".into());
        row.missed = Some("once".into());
        row.jitter = Some("5m".into());
        row.use_hints = Some(true);
    });
    assert_eq!(
        misplaced,
        [
            "trigger.missed",
            "trigger.jitter",
            "trigger.use_hints",
            "trigger.time_zone"
        ]
    );
    assert_eq!(
        codes(|row| row.on_promotion = Some("previous".into())),
        ["trigger.on_promotion"]
    );
    assert_eq!(
        codes(|row| row.on_alarm = Some("drfit/version 1".into())),
        ["trigger.on_alarm"]
    );
    assert_eq!(
        codes(|row| row.after_job = Some("a,,b".into())),
        ["trigger.after_job"]
    );
    assert_eq!(
        codes(|row| row.after_job = Some("a, tumour".into())),
        ["trigger.after_job"]
    );
    assert_eq!(
        codes(|row| row.pending_rows = Some(0)),
        ["trigger.pending_rows"]
    );
    let overtaking = codes(|row| {
        row.every = Some("5m".into());
        row.jitter = Some("5m".into());
    });
    assert_eq!(overtaking, ["trigger.jitter"]);
}

#[test]
fn a_zone_that_is_almost_right_gets_a_hint() {
    let row = row(|row| {
        row.cron = Some("0 5 * * *".into());
        row.time_zone = Some("Europe/Roma".into());
    });
    let problems = Trigger::read(&row).unwrap_err();
    assert_eq!(
        problems[0].help.as_deref(),
        Some("did you mean Europe/Rome?")
    );
}

#[test]
fn what_nobody_decides_upon_does_not_change_the_hash() {
    let plain = row(|row| row.every = Some("5m".into()));
    let noted = TriggerRow {
        note: Some("why".into()),
        created_by: Some("ada".into()),
        ..plain.clone()
    };
    let other = TriggerRow {
        priority: Some(1),
        ..plain.clone()
    };
    assert_eq!(plain.hash(), noted.hash());
    assert_ne!(plain.hash(), other.hash());
}

#[test]
fn a_tick_fires_when_it_is_due_and_not_before() {
    let trigger = every("5m", |_| {});
    let status = due_next("2027-01-01T00:05:00Z");
    let before = decide(&trigger, &status, at("2027-01-01T00:04:59Z"), quiet());
    assert_eq!(
        before,
        Outcome::Wait {
            until: Some(at("2027-01-01T00:05:00Z")),
            reason: None
        }
    );
    let now = decide(&trigger, &status, at("2027-01-01T00:05:00Z"), quiet());
    assert_eq!(fired(now), ("00:05:00".into(), "00:10:00".into()));
}

#[test]
fn missed_ticks_are_made_up_for_once_all_up_to_a_limit_or_not() {
    let status = due_next("2027-01-01T00:05:00Z");
    let now = at("2027-01-01T01:02:00Z");
    let once = decide(&every("5m", |_| {}), &status, now, quiet());
    let Outcome::Fire(Firing { why: Some(why), .. }) = &once else {
        panic!("{once:?}")
    };
    assert_eq!(why, "also covers 11 ticks before it");
    assert_eq!(fired(once), ("01:00:00".into(), "01:05:00".into()));
    let all = every("5m", |row| row.missed = Some("all".into()));
    assert_eq!(
        fired(decide(&all, &status, now, quiet())),
        ("00:05:00".into(), "00:10:00".into())
    );
    let three = every("5m", |row| {
        row.missed = Some("all".into());
        row.missed_limit = Some(3);
    });
    assert_eq!(
        fired(decide(&three, &status, now, quiet())),
        ("00:50:00".into(), "00:55:00".into())
    );
    let none = every("5m", |row| row.missed = Some("skip".into()));
    let skipped = decide(&none, &status, now, quiet());
    let Outcome::Skip {
        next_due, reason, ..
    } = skipped
    else {
        panic!("{skipped:?}")
    };
    assert_eq!(next_due, Some(at("2027-01-01T01:05:00Z")));
    assert_eq!(reason, "12 ticks passed while no scheduler ran");
    // The last one is only just due: that is no downtime.
    let fresh = decide(&none, &status, at("2027-01-01T01:00:30Z"), quiet());
    assert_eq!(fired(fresh), ("01:00:00".into(), "01:05:00".into()));
}

#[test]
fn a_daily_tick_fires_once_on_each_day_that_has_23_or_25_hours() {
    let trigger = trigger(|row| {
        row.cron = Some("30 2 * * *".into());
        row.time_zone = Some("Europe/Rome".into());
    });
    for (day, due) in [
        ("2027-03-27", "2027-03-28T01:00:00Z"),
        ("2027-10-30", "2027-10-31T00:30:00Z"),
    ] {
        let mut status = due_next(due);
        let mut fires = Vec::new();
        let mut now = at(&format!("{day}T12:00:00Z"));
        for _ in 0..(60 * 24) {
            if let Outcome::Fire(firing) = decide(&trigger, &status, now, quiet()) {
                status.next_due = firing.next_due;
                fires.push(firing.due);
            }
            now += TimeDelta::minutes(1);
        }
        assert_eq!(fires, [at(due)]);
    }
}

#[test]
fn overlap_skips_queues_or_cancels_and_no_persons_run_is_cancelled() {
    let status = due_next("2027-01-01T00:05:00Z");
    let now = at("2027-01-01T00:05:01Z");
    let with = |overlap: &str| every("5m", |row| row.overlap = Some(overlap.into()));
    let outcome = |overlap: &str, asked_for| decide(&with(overlap), &status, now, open(asked_for));
    assert!(matches!(
        outcome("skip", false),
        Outcome::Skip {
            next_due: Some(_),
            ..
        }
    ));
    assert!(matches!(outcome("queue", false), Outcome::Queue(..)));
    assert!(matches!(
        outcome("cancel", false),
        Outcome::CancelThenFire(..)
    ));
    assert!(matches!(outcome("cancel", true), Outcome::Queue(..)));
    let run = |id| {
        Some(OpenRun {
            run_id: Uuid::from_u128(id),
            asked_for: false,
        })
    };
    let goes_on =
        |overlap: &str, run| resume(&with(overlap), Uuid::from_u128(1), JobIs::Active, run);
    assert_eq!(goes_on("queue", None), Resume::Plan);
    assert_eq!(goes_on("queue", run(1)), Resume::Plan);
    assert_eq!(goes_on("queue", run(2)), Resume::Wait(Uuid::from_u128(2)));
    assert_eq!(
        goes_on("cancel", run(2)),
        Resume::Cancel(Uuid::from_u128(2))
    );
    assert!(matches!(goes_on("skip", run(2)), Resume::Drop(_)));
}

#[test]
fn ticks_that_pass_while_one_is_queued_are_that_ones_unless_each_was_promised_a_run() {
    let now = at("2027-01-01T00:31:00Z");
    let next = Some(at("2027-01-01T00:10:00Z"));
    assert_eq!(
        next_after_queue(&every("10m", |_| {}), next, now),
        Some(at("2027-01-01T00:40:00Z"))
    );
    let all = every("10m", |row| row.missed = Some("all".into()));
    assert_eq!(next_after_queue(&all, next, now), next);
    let status = TriggerStatus {
        next_due: next,
        ..TriggerStatus::default()
    };
    assert!(matches!(
        decide(&all, &status, now, open(false)),
        Outcome::Wait {
            reason: Some(_),
            ..
        }
    ));
}

#[test]
fn nothing_starts_by_itself_while_the_job_is_paused() {
    let status = due_next("2027-01-01T00:05:00Z");
    let facts = Facts {
        job: JobIs::Paused,
        ..quiet()
    };
    let outcome = decide(
        &every("5m", |_| {}),
        &status,
        at("2027-01-01T00:05:00Z"),
        facts,
    );
    assert!(matches!(outcome, Outcome::Skip { reason, .. } if reason == "the job is paused"));
}

#[test]
fn a_clock_that_goes_back_serves_no_tick_twice_and_one_from_the_future_is_not_waited_for() {
    let trigger = every("5m", |_| {});
    let status = TriggerStatus {
        last_due: Some(at("2027-01-01T00:30:00Z")),
        ..due_next("2027-01-01T00:35:00Z")
    };
    // Back by ten minutes: what was served is not due again.
    let outcome = decide(&trigger, &status, at("2027-01-01T00:21:00Z"), quiet());
    assert_eq!(
        outcome,
        Outcome::Wait {
            until: Some(at("2027-01-01T00:35:00Z")),
            reason: None
        }
    );
    // Back by a year: it had been wrong before.
    let outcome = decide(&trigger, &status, at("2026-01-01T00:21:00Z"), quiet());
    assert!(
        matches!(outcome, Outcome::Skip { next_due, .. } if next_due == Some(at("2026-01-01T00:25:00Z")))
    );
}

#[test]
fn jitter_is_the_same_for_all_and_moves_no_due_time() {
    let trigger = every("10m", |row| row.jitter = Some("5m".into()));
    let due = at("2027-01-01T00:10:00Z");
    let later = jitter(&trigger, due);
    assert_eq!(later, jitter(&trigger, due));
    assert!(later >= TimeDelta::zero() && later < TimeDelta::minutes(5));
    let spread: std::collections::BTreeSet<i64> = (0..20)
        .map(|n| jitter(&trigger, due + TimeDelta::minutes(10 * n)).num_seconds())
        .collect();
    assert!(spread.len() > 10, "{spread:?}");
    let status = due_next("2027-01-01T00:10:00Z");
    let early = decide(
        &trigger,
        &status,
        due + later - TimeDelta::milliseconds(1),
        quiet(),
    );
    assert_eq!(
        early,
        Outcome::Wait {
            until: Some(due + later),
            reason: None
        }
    );
    assert_eq!(
        fired(decide(&trigger, &status, due + later, quiet())).0,
        "00:10:00"
    );
}
