//! The table of current predictions, when who writes it dies or wakes up late.

use std::collections::BTreeMap;

use crate::{
    stage::{Stage, kill_at},
    support::cli,
};

const ROWS: i32 = 400;

/// Who -> version and output.
fn current(stage: &Stage) -> BTreeMap<i32, (i32, f32)> {
    let rows = stage
        .sandbox
        .rows("SELECT id, model_version, y FROM {data}.visits_current");
    let told = rows.iter().map(|row| {
        let version = row["model_version"].as_int().unwrap();
        (
            row["id"].as_int().unwrap(),
            (version, row["y"].as_float().unwrap()),
        )
    });
    told.collect()
}

fn assert_current(stage: &Stage, version: i32) {
    let stands = stage.sandbox.rows(&format!(
        "SELECT id, y FROM {{data}}.visits_predictions WHERE model_version = {version} ALLOW FILTERING"
    ));
    let stands: BTreeMap<_, _> = stands
        .iter()
        .map(|row| {
            (
                row["id"].as_int().unwrap(),
                (version, row["y"].as_float().unwrap()),
            )
        })
        .collect();
    assert_eq!(stands.len(), ROWS as usize);
    assert_eq!(current(stage), stands);
}

fn staged(test: &str) -> Stage {
    let stage = Stage::new(test, ROWS);
    promote(&stage, 1);
    stage.create(
        "visits",
        "[1, 2, \"champion\"]",
        "[outputs]\ncurrent = true",
    );
    stage.assert_succeeded(stage.score());
    worker(&stage);
    assert_current(&stage, 1);
    stage
}

fn promote(stage: &Stage, version: i32) {
    let version = version.to_string();
    let words = ["model", "promote", "identity", &version, "--why", "test"];
    cli::run(stage.command(&words)).ok();
}

fn worker(stage: &Stage) {
    cli::run(stage.command(&["worker", "--once"])).ok();
}

#[test]
fn a_refresh_that_is_killed_anywhere_is_done_by_the_next() {
    let stage = staged("current_kill");
    let places = [
        "after_open",
        "after_insert_run",
        "during_planning",
        "after_start",
        "after_claim",
        "mid_split=kill:9",
        "before_finish=kill:3",
        "after_finish=kill:2",
        "before_close",
        "before_free",
    ];
    for (turn, place) in (0..).zip(places) {
        let version = 2 - turn % 2;
        // Rows that were written again after a death count as changed: both versions are covered
        // for certain after a run over both.
        stage.assert_succeeded(stage.score());
        promote(&stage, version);
        stage.killed(&["worker", "--once"], &kill_at(place));
        // Each row is whole and of one of the two, however far it came.
        let rows = current(&stage);
        assert_eq!(rows.len(), ROWS as usize, "{place}");
        assert!(rows.iter().all(|(id, row)| row.1 == *id as f32), "{place}");
        worker(&stage);
        assert_current(&stage, version);
        let noted = stage
            .sandbox
            .row("SELECT version FROM {helenus}.current_tables");
        assert_eq!(noted["version"].as_int(), Some(version), "{place}");
    }
}

#[test]
fn a_run_that_knew_the_old_champion_loses_against_the_new_ones_predictions() {
    let stage = staged("current_zombie");
    stage.set((0..ROWS).map(|id| (id, (id + 1_000) as f32)));
    let second = ["score", "visits", "--version", "2"];
    stage.assert_succeeded(cli::run(stage.command(&second)));
    let first = ["score", "visits", "--version", "1"];
    let zombie = stage.frozen(&first, "mid_split=stop");
    promote(&stage, 2);
    // Copies the new champion's, and takes the frozen run over, which still writes the old one's.
    worker(&stage);
    assert_current(&stage, 2);
    zombie.signal("CONT");
    zombie.finish();
    assert_current(&stage, 2);
    let run = stage.newest();
    assert_eq!(run.current.unwrap().version, 2, "{run:?}");
}

/// A run takes its base before it reads the champion. One that stalls in between knows a later
/// champion than runs with higher bases, which must not win against what it copies.
#[test]
fn a_run_that_stalled_before_it_read_the_champion_wins_against_runs_that_knew_the_old_one() {
    let stage = staged("current_overtaken");
    stage.set((0..ROWS).map(|id| (id, (id + 1_000) as f32)));
    let second = ["score", "visits", "--version", "2"];
    let stalled = stage.frozen(&second, "after_base=stop");
    let first = ["score", "visits", "--version", "1"];
    stage.assert_succeeded(cli::run(stage.command(&first)));
    assert_current(&stage, 1);
    let words = [
        "model", "promote", "identity", "2", "--now", "--why", "test",
    ];
    cli::run(stage.command(&words)).ok();
    stalled.signal("CONT");
    stalled.finish();
    let mut runs = stage.runs("visits").into_iter();
    let run = runs.find(|run| run.versions.contains(&2)).unwrap();
    assert_eq!(run.current.unwrap().version, 2, "{run:?}");
    assert_current(&stage, 2);
    worker(&stage);
    assert_current(&stage, 2);
}
