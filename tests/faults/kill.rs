//! kill -9 at each named place; the same command, or any other process, goes on.

use crate::{
    stage::{IDENTITY, Stage, kill_at, wait_until},
    support::cli,
};

const ROWS: i32 = 400;

/// Every place on a run's way, in order.
const PLACES: [&str; 11] = [
    "after_open",
    "after_insert_run",
    "during_planning",
    "after_start",
    "before_answer",
    "after_claim",
    "mid_split=kill:9",
    "before_finish=kill:3",
    "after_finish=kill:2",
    "before_close",
    "before_free",
];

#[test]
fn a_command_killed_anywhere_is_made_good_by_the_same_command() {
    let stage = Stage::new("kill_score", ROWS);
    for (turn, place) in (1..).zip(PLACES) {
        // Something is pending in every split, something is not, rows come and go.
        stage.set(
            (0..ROWS)
                .step_by(3)
                .map(|id| (id, (1_000 * turn + id) as f32)),
        );
        stage.insert(ROWS + turn..=ROWS + turn);
        stage.killed(&["score", "visits"], &kill_at(place));
        let ended = place == "before_free";
        if ended {
            stage.assert_whole(&stage.newest());
        } else {
            let newest = stage.runs("visits").into_iter().next();
            let open = newest.is_none_or(|run| !run.state.is_terminal() || turn > 1);
            assert!(open, "{place}");
        }
        let run = stage.assert_succeeded(stage.score());
        let scored = run.counts.scored[&1] as i32;
        assert!(
            if ended {
                scored == 0
            } else {
                scored >= ROWS / 3
            },
            "{place}: {run:?}"
        );
    }
    assert_settled(&stage);
}

#[test]
fn a_request_whose_worker_is_killed_anywhere_is_served_by_the_next() {
    let stage = Stage::new("kill_worker", ROWS);
    for (turn, place) in (1..).zip(PLACES) {
        stage.set(
            (0..ROWS)
                .step_by(3)
                .map(|id| (id, (1_000 * turn + id) as f32)),
        );
        stage.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'visits')");
        stage.killed(&["worker", "--once"], &kill_at(place));
        let before = stage.runs("visits").len();
        cli::run(stage.command(&["worker", "--once"])).ok();
        let run = stage.newest();
        stage.assert_whole(&run);
        // The same request, the same run: its id is derived from the request.
        let runs = stage.runs("visits").len();
        assert_eq!(runs as i32, turn, "{place}");
        assert!(runs - before <= 1, "{place}");
        let answers = stage
            .sandbox
            .rows("SELECT id, run_id, answer FROM {helenus}.answers");
        assert_eq!(answers.len() as i32, turn, "{place}: {answers:?}");
    }
    assert_settled(&stage);
}

#[test]
fn a_request_that_waits_for_a_run_outlives_whoever_would_serve_it() {
    let stage = Stage::new("kill_waiting", ROWS);
    let all = |value: i32| (0..ROWS).map(move |id| (id, (value + id) as f32));
    let places = ["before_close", "before_free", "after_open", "before_answer"];
    for (turn, place) in (1..).zip(places) {
        stage.set(all(2_000 * turn));
        // Two splits are done, and changed since.
        stage.killed(&["score", "visits"], "before_finish=kill:3");
        stage.set(all(2_000 * turn + 1_000));
        stage.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'visits')");
        stage.killed(&["worker", "--once"], &kill_at(place));
        cli::run(stage.command(&["worker", "--once"])).ok();
        stage.assert_whole(&stage.newest());
        assert_eq!(stage.runs("visits").len() as i32, 2 * turn, "{place}");
    }
    assert_settled(&stage);
}

/// Nothing holds the prediction table any more.
fn assert_settled(stage: &Stage) {
    let open = stage
        .sandbox
        .rows("SELECT job, version, run_id FROM {helenus}.open_runs");
    assert!(!open.is_empty());
    assert!(
        open.iter().all(|row| !row.contains_key("run_id")),
        "{open:?}"
    );
    let runs = stage.runs("visits");
    assert!(runs.iter().all(|run| run.state.is_terminal()), "{runs:?}");
}

#[test]
fn two_deaths_at_admission_reject_a_model_and_one_does_not() {
    let stage = Stage::new("kill_admission", 20);
    let verdict = |version: i32| {
        let rows = stage.sandbox.rows(&format!(
            "SELECT state, reason FROM {{helenus}}.admissions WHERE name = 'other' AND version = {version}"
        ));
        rows.first().map(|row| {
            let reason = row
                .get("reason")
                .map(|reason| reason.as_text().unwrap().clone());
            (row["state"].as_text().unwrap().clone(), reason)
        })
    };
    let push = ["model", "push", "other", IDENTITY];
    // Once: somebody else decides.
    stage.killed(&push, "during_admission=kill");
    assert_eq!(verdict(1), None);
    cli::run(stage.command(&["worker", "--once"])).ok();
    assert_eq!(verdict(1).unwrap().0, "ready");
    // Decided, and dead before it could say so.
    stage.killed(&push, "after_admission=kill");
    assert_eq!(verdict(2).unwrap().0, "ready");
    cli::run(stage.command(&["worker", "--once"])).ok();
    // Twice: nobody else is to die of it.
    stage.killed(&push, "during_admission=kill");
    stage.killed(&["worker", "--once"], "during_admission=kill");
    assert_eq!(verdict(3), None);
    cli::run(stage.command(&["worker", "--once"])).ok();
    let (state, reason) = verdict(3).unwrap();
    assert_eq!(state, "rejected");
    assert!(
        reason.as_ref().unwrap().contains("2 workers died"),
        "{reason:?}"
    );
    // The others are as they were.
    assert_eq!(verdict(1).unwrap().0, "ready");
    stage.assert_succeeded(stage.score());
}

#[test]
fn a_promotion_whose_worker_is_killed_before_it_answers_takes_place_once() {
    let stage = Stage::new("kill_promotion", 20);
    let promote = |version: i32| {
        stage.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version) VALUES (toDate(now()), now(), 'promote', 'identity', 'champion', {version})"
        ));
    };
    for version in [1, 2] {
        promote(version);
        stage.killed(&["worker", "--once"], "after_promotion=kill");
        wait_until("an answer", || {
            cli::run(stage.command(&["worker", "--once"])).ok();
            let answers = stage.sandbox.rows("SELECT answer FROM {helenus}.answers");
            answers.len() as i32 == version
        });
        let history = stage
            .sandbox
            .rows("SELECT seq, to_version FROM {helenus}.model_aliases");
        assert_eq!(history.len() as i32, version, "{history:?}");
    }
    let answers = stage.sandbox.rows("SELECT answer FROM {helenus}.answers");
    assert!(
        answers
            .iter()
            .all(|row| row["answer"].as_text().unwrap() == "done")
    );
}
