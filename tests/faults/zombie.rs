//! A process that is frozen while it holds writes, and sends them when others have long gone on.
//! It is frozen at its first write, so that it has finished no split that had something to write.

use crate::{
    stage::{Stage, wait_until},
    support::cli,
};

const ROWS: i32 = 240;

/// What every prediction says, byte for byte where it matters.
fn everything(stage: &Stage) -> Vec<String> {
    let mut rows: Vec<String> = stage
        .sandbox
        .rows("SELECT id, model_version, y, WRITETIME(y) AS at, lineage FROM {data}.visits_predictions")
        .iter()
        .map(|row| format!("{row:?}"))
        .collect();
    rows.sort();
    rows
}

/// Thaws the process and sees it to its end.
fn thaw(zombie: cli::Running) -> cli::Output {
    zombie.signal("CONT");
    zombie.finish()
}

#[test]
fn writes_that_were_held_past_the_lease_change_nothing() {
    let stage = Stage::new("zombie", ROWS);
    stage.assert_succeeded(stage.score());

    // Held: the values of now. Meanwhile a third of them changes, a third changes and changes
    // back, and the rest stays: what the successor finds unchanged it must write all the same.
    stage.set((0..ROWS).map(|id| (id, (id + 1_000) as f32)));
    let zombie = stage.frozen(&["score", "visits"], "mid_split=stop");
    stage.set(
        (0..ROWS)
            .filter(|id| id % 3 == 0)
            .map(|id| (id, (id + 2_000) as f32)),
    );
    stage.set((0..ROWS).filter(|id| id % 3 == 1).map(|id| (id, id as f32)));
    let run = stage.assert_succeeded(stage.score());
    let before = everything(&stage);
    let late = thaw(zombie);
    // It says how the run ended, which was not its doing.
    assert_eq!(late.ok().result()["run_id"], run.run_id.to_string());
    assert_eq!(everything(&stage), before);
    stage.assert_whole(&run);

    // And back again, which makes the rows pending once more, and no more than those.
    stage.set(
        (0..ROWS)
            .filter(|id| id % 3 == 0)
            .map(|id| (id, (id + 1_000) as f32)),
    );
    let next = stage.assert_succeeded(stage.score());
    assert_eq!(next.counts.scored[&1] as i32, ROWS / 3, "{next:?}");
}

#[test]
fn writes_held_past_the_end_of_a_cancelled_run_lose_against_the_next_run() {
    let stage = Stage::new("zombie_cancel", ROWS);
    stage.assert_succeeded(stage.score());
    stage.set((0..ROWS).map(|id| (id, (id + 1_000) as f32)));
    let zombie = stage.frozen(&["score", "visits"], "mid_split=stop");
    let run_id = stage.newest().run_id.to_string();
    cli::run(stage.command(&["run", "cancel", "visits", &run_id])).ok();
    wait_until("the end of the cancelled run", || {
        cli::run(stage.command(&["worker", "--once"])).ok();
        stage.newest().state.is_terminal()
    });
    // Everything is as the last run but one saw it: only what was claimed is written anew.
    stage.set((0..ROWS).map(|id| (id, id as f32)));
    let run = stage.assert_succeeded(stage.score());
    assert!(run.counts.scored[&1] > 0, "{run:?}");
    let before = everything(&stage);
    thaw(zombie);
    assert_eq!(everything(&stage), before);
    stage.assert_whole(&run);
}

#[test]
fn rejections_and_deletes_that_were_held_change_nothing() {
    let rules = "max_rejected = 1000\norphans = \"delete\"";
    let stage = Stage::with_rules("zombie_rejects", ROWS, rules);
    stage.assert_succeeded(stage.score());
    // Held: rejections of rows whose value is null. Meanwhile they get a value.
    for id in 0..ROWS / 4 {
        stage
            .sandbox
            .cql(&format!("DELETE x FROM {{data}}.visits WHERE id = {id}"));
    }
    let zombie = stage.frozen(&["score", "visits"], "mid_split=stop");
    stage.insert(0..ROWS / 4);
    let run = stage.assert_succeeded(stage.score());
    assert_eq!(run.counts.rejected[&1], 0, "{run:?}");
    let before = everything(&stage);
    thaw(zombie);
    assert_eq!(everything(&stage), before);
    stage.assert_whole(&run);
}

#[test]
fn a_planner_that_was_frozen_finds_its_place_taken() {
    let stage = Stage::new("zombie_planner", 40);
    for place in [
        "after_open",
        "after_insert_run",
        "during_planning",
        "after_start",
    ] {
        let zombie = stage.frozen(&["score", "visits"], &format!("{place}=stop"));
        let taken = stage.assert_succeeded(stage.score());
        let late = thaw(zombie);
        // It may join in, run by itself, or say that it lost its place; it never undoes anything.
        match late.code {
            Some(0) => drop(stage.assert_succeeded(late)),
            _ => drop(late.code(3)),
        }
        assert!(
            stage
                .runs("visits")
                .iter()
                .all(|run| run.state.is_terminal()),
            "{place}"
        );
        let again = stage
            .runs("visits")
            .into_iter()
            .find(|run| run.run_id == taken.run_id);
        assert_eq!(again.unwrap(), taken, "{place}");
        stage.assert_succeeded(stage.score());
    }
}
