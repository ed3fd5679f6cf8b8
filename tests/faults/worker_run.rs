//! `helenus worker --run`: processes that a cluster manager lends to one run.

use crate::{
    stage::{Stage, kill_at, wait_until},
    support::cli,
};

const ROWS: i32 = 2_000;

#[test]
fn two_workers_of_one_run_end_with_it_although_one_is_killed() {
    let stage = Stage::new("worker_run", ROWS);
    // Planned and opened, and not worked on any more.
    let slowly = ["score", "visits", "--max-rate", "500"];
    stage.killed(&slowly, &kill_at("after_start"));
    let run = stage.newest();
    assert!(!run.state.is_terminal());
    let id = run.run_id.to_string();
    let words = ["worker", "--run", id.as_str()];
    let dies = stage.start_with(&words, &kill_at("mid_split=kill:5"));
    // The other one comes once this one works: alone it might have taken all splits.
    wait_until("a split is taken", || {
        let splits = stage.sandbox.rows(&format!(
            "SELECT owner FROM {{helenus}}.splits WHERE job = 'visits' AND run_id = {id} ALLOW FILTERING"
        ));
        splits.iter().any(|split| split.contains_key("owner"))
    });
    let stays = stage.start_with(&words, "");
    let killed = dies.finish();
    assert_eq!(killed.code, None, "it was not killed: {killed:#?}");
    let ended = stays.finish().ok().result();
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(ended["run_id"], *id);
    stage.assert_whole(&stage.newest());

    // One that comes late ends at once, with the same outcome.
    let late = cli::run(stage.command(&words)).ok().result();
    assert_eq!(late["state"], "succeeded");
    // The outcome of a run that fails is that of its workers.
    stage
        .sandbox
        .cql("INSERT INTO {data}.visits (id) VALUES (-1)");
    stage.create("visits", "[1, 2]", "max_rejected = 0");
    stage.killed(&["score", "visits"], &kill_at("after_start"));
    let failing = stage.newest().run_id.to_string();
    assert_ne!(failing, id);
    let failed = cli::run(stage.command(&["worker", "--run", &failing])).code(1);
    assert_eq!(failed.error()["code"], "run.failed");
    // A run that nobody has, and what is not the id of a run.
    for nothing in [
        "7c1f6a10-cd2f-11f0-8de9-0242ac120002",
        "7c1f6a10-cd2f-41f0-8de9-0242ac120002",
    ] {
        cli::run(stage.command(&["worker", "--run", nothing])).code(5);
    }
}
