//! What a run was planned with changes while it is under way: models, aliases, tables.

use std::sync::atomic::{AtomicI32, Ordering};

use helenus::domain::run::RunState;

use crate::{
    stage::{IDENTITY, Stage},
    support::cli,
};

const ROWS: i32 = 200;

/// Gives every row a value that it never had.
fn is_pending(stage: &Stage) {
    static TURN: AtomicI32 = AtomicI32::new(1);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    stage.set((0..ROWS).map(|id| (id, (id + 1_000 * turn) as f32)));
}

#[test]
fn a_chunk_that_vanishes_fails_the_run_and_a_push_brings_it_back() {
    let stage = Stage::new("chunk", ROWS);
    // A process that has its models goes on; the next one finds them gone.
    let loaded = stage.frozen(&["score", "visits"], "after_claim=stop");
    stage.sandbox.cql("TRUNCATE {helenus}.model_chunks");
    loaded.signal("CONT");
    stage.assert_succeeded(loaded.finish());
    is_pending(&stage);
    let failed = stage.score().code(1);
    let reason = failed.result()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("chunk"), "{reason}");
    // The failed run holds nothing up once the model is there again.
    let push = ["model", "push", "identity", IDENTITY];
    cli::run(stage.command(&push)).ok();
    let run = stage.assert_succeeded(stage.score());
    assert_eq!(run.counts.scored[&2] as i32, ROWS, "{run:?}");
}

#[test]
fn a_run_keeps_the_version_it_was_planned_with() {
    let stage = Stage::new("alias", ROWS);
    let helenus = |arguments: &[&str]| cli::run(stage.command(arguments)).ok();
    helenus(&["model", "promote", "identity", "1"]);
    stage.create("visits", "[\"champion\"]", "");
    // Moved and retired while one process works, and before another goes on with what that left.
    for (turn, takes_over) in [(0, false), (1, true)] {
        let (old, new) = (turn + 1, turn + 2);
        if takes_over {
            helenus(&["model", "push", "identity", IDENTITY]);
        }
        is_pending(&stage);
        let before = stage.runs("visits").len();
        let first = stage.frozen(&["score", "visits"], "mid_split=stop:5");
        helenus(&["model", "promote", "identity", &new.to_string(), "--now"]);
        helenus(&["model", "retire", "identity", &old.to_string()]);
        let output = if takes_over {
            first.kill();
            stage.score()
        } else {
            first.signal("CONT");
            first.finish()
        };
        let run = match takes_over {
            // Another version by now: the new wish waits for nothing, the old run goes on.
            true => {
                output.code(0);
                cli::run(stage.command(&["worker", "--once"])).ok();
                stage.runs("visits")[stage.runs("visits").len() - 1 - before].clone()
            }
            false => stage.run("visits", &output.ok().result()),
        };
        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
        assert_eq!(run.versions, [old].into(), "{run:?}");
        stage.assert_whole(&run);
        let next = stage.assert_succeeded(stage.score());
        assert_eq!(next.versions, [new].into(), "{next:?}");
    }
}

#[test]
fn columns_added_to_the_source_disturb_no_run() {
    let stage = Stage::new("columns", ROWS);
    let run = stage.frozen(&["score", "visits"], "mid_split=stop:5");
    stage
        .sandbox
        .cql("ALTER TABLE {data}.visits ADD (more int, other set<text>)");
    stage
        .sandbox
        .cql("UPDATE {data}.visits SET more = 1, other = {'a'} WHERE id = 3");
    run.signal("CONT");
    stage.assert_succeeded(run.finish());
    is_pending(&stage);
    stage.killed(&["score", "visits"], "mid_split=kill:5");
    stage
        .sandbox
        .cql("ALTER TABLE {data}.visits ADD still_more int");
    let run = stage.assert_succeeded(stage.score());
    assert_eq!(run.counts.scored[&1] as i32, ROWS);
}

#[test]
fn a_source_that_is_dropped_and_made_anew_is_not_taken_for_the_old_one() {
    let stage = Stage::new("source", ROWS);
    for place in [
        "after_claim=stop:2",
        "mid_split=stop:9",
        "before_close=stop",
    ] {
        is_pending(&stage);
        let run = stage.frozen(&["score", "visits"], place);
        stage.sandbox.cql("DROP TABLE {data}.visits");
        stage
            .sandbox
            .cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, note text)");
        stage.insert(0..ROWS / 2);
        stage.insert(ROWS..ROWS + 10);
        run.signal("CONT");
        let output = run.finish().code(1);
        let reason = output.result()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("source_changed"), "{place}: {reason}");
        // What is there now is scored by the next run; what it does not know is counted.
        let result = stage.score().ok().result();
        assert_eq!(result["state"], "succeeded", "{result}");
        assert_eq!(result["source_rows"], ROWS / 2 + 10, "{result}");
        for (id, x) in stage.source() {
            let found = stage.predictions("visits");
            let found: Vec<_> = found.iter().filter(|p| p.id == id).map(|p| p.y).collect();
            assert_eq!(found, [x, x], "{place}: {id}");
        }
        stage.insert(0..ROWS);
    }
    // Dropped for good: the run fails, and says so.
    is_pending(&stage);
    let run = stage.frozen(&["score", "visits"], "after_claim=stop:2");
    stage.sandbox.cql("DROP TABLE {data}.visits");
    run.signal("CONT");
    let output = run.finish();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.result()["state"], "failed");
}

#[test]
fn a_prediction_table_that_is_dropped_fails_the_run_and_is_made_again() {
    let stage = Stage::new("target", ROWS);
    for place in [
        "after_claim=stop:2",
        "mid_split=stop:9",
        "before_finish=stop",
        "before_close=stop",
    ] {
        is_pending(&stage);
        let run = stage.frozen(&["score", "visits"], place);
        stage.sandbox.cql("DROP TABLE {data}.visits_predictions");
        run.signal("CONT");
        let output = run.finish().code(1);
        assert_eq!(output.result()["state"], "failed", "{place}");
        let whole = stage.assert_succeeded(stage.score());
        assert_eq!(whole.counts.scored[&1] as i32, ROWS, "{place}");
    }
    // Dropped, and made again by somebody else, under a run's feet: what was written before is
    // not there, and the run does not claim it is.
    is_pending(&stage);
    let run = stage.frozen(&["score", "visits"], "mid_split=stop:9");
    stage.sandbox.cql("DROP TABLE {data}.visits_predictions");
    stage.create("visits", "[2, 1]", "");
    run.signal("CONT");
    let output = run.finish();
    let missing = stage.predictions("visits").len() < 2 * ROWS as usize;
    assert_eq!(output.code, Some(i32::from(missing)), "{output:#?}");
    stage.assert_succeeded(stage.score());
}
