//! Hints whose times come from clocks that are off, and hints that are late.

use chrono::{DateTime, TimeDelta, Utc};
use helenus::{
    control::scheduler::Scheduler,
    domain::run::{Part, run_id},
};

use crate::support::garden::Garden;

/// Rounds two seconds apart, each firing under another leader: the keys of its run.
struct Hinted {
    garden: Garden,
    scheduler: Scheduler,
    now: DateTime<Utc>,
}

impl Hinted {
    fn new(test: &str, columns: &str, values: &str) -> Self {
        let garden = Garden::new(test);
        garden.job("iris");
        garden.finish("iris");
        garden.trigger("iris", "hinted", columns, values);
        let mut hinted = Self {
            garden,
            scheduler: Scheduler::default(),
            now: Utc::now(),
        };
        assert_eq!(hinted.round(), Vec::<String>::new());
        hinted
    }

    /// A hint whose `at` is so many seconds ahead, under the day of now.
    fn hint(&self, id: i32, ahead: i64) {
        let at = Utc::now() + TimeDelta::seconds(ahead);
        let at = run_id::derive("hint", &id.to_string(), at.timestamp_micros() as u64 * 10);
        self.garden.sandbox.cql(&format!("INSERT INTO {{helenus}}.changed_keys (job, day, at, key) VALUES ('iris', toDate(now()), {at}, {{'id': '{id}'}})"));
    }

    fn round(&mut self) -> Vec<String> {
        self.now += TimeDelta::seconds(2);
        if self.garden.round(&mut self.scheduler, self.now).is_empty() {
            return Vec::new();
        }
        let run = self.garden.runs("iris").remove(0);
        self.garden.worker();
        // That worker has led meanwhile.
        self.scheduler = Scheduler::default();
        match run.scope.part {
            Part::Keys(keys) => keys.iter().map(|key| key["id"].clone()).collect(),
            _ => vec!["everything".to_owned()],
        }
    }
}

#[test]
fn a_hint_from_a_clock_that_is_ahead_is_not_lost_and_silences_no_other() {
    let mut hinted = Hinted::new("trigger_hints_ahead", "pending_rows, use_hints", "2, true");
    hinted.hint(1, -1);
    hinted.hint(2, 0);
    assert_eq!(hinted.round(), ["1", "2"]);
    // Twenty minutes, and years.
    hinted.hint(3, 1_200);
    hinted.hint(4, 0);
    assert_eq!(hinted.round(), ["3", "4"]);
    hinted.hint(5, 100_000_000);
    assert_eq!(hinted.round(), Vec::<String>::new());
    hinted.hint(6, 1);
    assert_eq!(hinted.round(), ["5", "6"]);
    for _ in 0..3 {
        assert_eq!(hinted.round(), Vec::<String>::new(), "it fires once");
    }
    hinted.hint(7, 0);
    hinted.hint(8, 0);
    assert_eq!(hinted.round(), ["7", "8"]);
    hinted.hint(9, 0);
    hinted.hint(3, 2_400);
    assert_eq!(hinted.round(), ["3", "9"]);
}

#[test]
fn hints_that_arrive_behind_others_are_seen() {
    let mut hinted = Hinted::new("trigger_hints_late", "pending_rows, use_hints", "1, true");
    hinted.hint(1, 0);
    assert_eq!(hinted.round(), ["1"]);
    for (id, ahead) in [(2, -1), (3, -30), (4, -600), (5, -3_000)] {
        hinted.hint(id, ahead);
        assert_eq!(hinted.round(), [id.to_string()], "{ahead} s");
        assert_eq!(hinted.round(), Vec::<String>::new(), "{ahead} s, again");
    }
    // Under the day of a time zone behind or ahead.
    for (id, day) in [(6, -1), (7, 1)] {
        let day = (Utc::now() + TimeDelta::days(day)).date_naive();
        hinted.garden.sandbox.cql(&format!("INSERT INTO {{helenus}}.changed_keys (job, day, at, key) VALUES ('iris', '{day}', now(), {{'id': '{id}'}})"));
        assert_eq!(hinted.round(), [id.to_string()], "{day}");
    }
}

#[test]
fn a_hint_from_the_future_waits_as_others_do() {
    let mut hinted = Hinted::new(
        "trigger_hints_wait",
        "oldest_wait, use_hints",
        "'20s', true",
    );
    hinted.hint(1, 100_000_000);
    for _ in 0..9 {
        assert_eq!(hinted.round(), Vec::<String>::new());
    }
    assert_eq!(
        [hinted.round(), hinted.round(), hinted.round()].concat(),
        ["1"]
    );
}
