//! Clocks an hour ahead or behind: a worker's, a person's, that of whoever deletes.

use std::process::Command;

use chrono::{TimeDelta, Utc};
use helenus::domain::run::{RunState, run_id};

use crate::{stage::Stage, support::cli};

const ROWS: i32 = 120;
const HOUR: i64 = 3_600;

/// A command whose wall clock is off by so many seconds.
fn shifted(stage: &Stage, arguments: &[&str], seconds: i64) -> Command {
    let library = stage.sandbox.directory().join("clock_shift.so");
    if !library.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock_shift.c");
        let mut compile = Command::new("cc");
        compile
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl");
        cli::run(compile).ok();
    }
    let mut command = stage.command(arguments);
    command
        .env("LD_PRELOAD", &library)
        .env("HELENUS_TEST_CLOCK_SHIFT", seconds.to_string());
    command
}

#[test]
fn a_worker_whose_clock_is_off_opens_no_run_and_does_no_harm_in_others() {
    let stage = Stage::new("clock", ROWS);
    for (turn, off) in (1..).zip([HOUR, -HOUR]) {
        stage.set((0..ROWS).map(|id| (id, (id + 1_000 * turn) as f32)));
        let refused = cli::run(shifted(&stage, &["score", "visits"], off)).code(3);
        assert_eq!(refused.error()["code"], "clock.off", "{refused:?}");
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        let word = if off > 0 { "ahead of" } else { "behind" };
        assert!(message.contains(word), "{message}");
        // It left nothing in the way.
        let open = stage
            .sandbox
            .rows("SELECT version, run_id FROM {helenus}.open_runs");
        assert!(
            open.iter().all(|row| !row.contains_key("run_id")),
            "{open:?}"
        );

        // A run that others planned it may work on: timestamps are the run's, leases go by
        // another clock. It takes over from a dead process, and is itself succeeded.
        stage.killed(&["score", "visits"], "mid_split=kill:5");
        let mut halfway = shifted(&stage, &["worker", "--once"], off);
        halfway.env("HELENUS_FAILPOINTS", "mid_split=kill:5");
        assert_eq!(cli::run(halfway).code, None);
        let run = stage.newest();
        assert_eq!(run.state, RunState::Running);
        cli::run(shifted(&stage, &["worker", "--once"], off));
        let run = stage.run(
            "visits",
            &serde_json::json!({"run_id": run.run_id.to_string()}),
        );
        stage.assert_whole(&run);
        // The next one, by a right clock, finds nothing to do, and what changes it overwrites.
        let next = stage.assert_succeeded(stage.score());
        assert_eq!(next.counts.unchanged[&1] as i32, ROWS, "{next:?}");
        stage.set((0..ROWS).map(|id| (id, -(id + turn) as f32)));
        let next = stage.assert_succeeded(stage.score());
        assert_eq!(next.counts.scored[&2] as i32, ROWS, "{next:?}");
    }
}

#[test]
fn a_request_from_a_clock_that_is_off_is_served_once() {
    let stage = Stage::new("clock_request", ROWS);
    for (turn, off) in (1..).zip([1, -1]) {
        let at = Utc::now() + TimeDelta::hours(off);
        let id = run_id::derive("anybody", "test", at.timestamp_micros() as u64 * 10);
        stage.set((0..ROWS).map(|id| (id, (id + 1_000 * turn) as f32)));
        stage.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id, job) VALUES ('{}', {id}, 'visits') USING TIMESTAMP {}",
            at.date_naive(),
            at.timestamp_micros()
        ));
        for _ in 0..2 {
            cli::run(stage.command(&["worker", "--once"])).ok();
        }
        let answers = stage.sandbox.rows(&format!(
            "SELECT answer, run_id FROM {{helenus}}.answers WHERE day = '{}' AND id = {id}",
            at.date_naive()
        ));
        assert_eq!(answers[0]["answer"].as_text().unwrap(), "accepted");
        let run = uuid::Uuid::from(answers[0]["run_id"].as_timeuuid().unwrap());
        let run = stage.run("visits", &serde_json::json!({"run_id": run.to_string()}));
        assert_eq!(run.counts.scored[&1] as i32, ROWS);
        stage.assert_whole(&run);
        assert_eq!(stage.runs("visits").len(), turn as usize);
    }
}

#[test]
fn what_a_fast_clock_deleted_is_shadowed_and_no_run_says_succeeded() {
    let stage = Stage::new("clock_delete", ROWS);
    stage.assert_succeeded(stage.score());
    let ahead = (Utc::now() + TimeDelta::hours(1)).timestamp_micros();
    let delete = |id: i32| {
        stage.sandbox.cql(&format!(
            "DELETE FROM {{data}}.visits_predictions USING TIMESTAMP {ahead} WHERE id = {id}"
        ));
    };
    // A single row: what few rows a run wrote are all read back.
    delete(7);
    let failed = stage.score().code(1).result();
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["reason"]
            .as_str()
            .unwrap()
            .starts_with("shadowed: 2 of 2"),
        "{failed}"
    );
    // It is no accident of the first run.
    let failed = stage.score().code(1).result();
    assert!(
        failed["reason"].as_str().unwrap().starts_with("shadowed"),
        "{failed}"
    );
    (0..ROWS).for_each(delete);
    stage.set((0..ROWS).map(|id| (id, (id + 1_000) as f32)));
    let failed = stage.score().code(1).result();
    assert!(
        failed["reason"].as_str().unwrap().starts_with("shadowed"),
        "{failed}"
    );
    assert!(stage.predictions("visits").is_empty());
}
