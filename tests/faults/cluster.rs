//! Three nodes, every row on each: one may die without anybody noticing; without two of them
//! nothing is written, and nothing is lost.

use std::time::{Duration, Instant};

use helenus::process::boot_time;

use crate::{
    own::OwnCassandra,
    stage::{wait_for, wait_until},
    support::cli::Running,
};

const ROWS: i32 = 600;

#[test]
fn one_node_of_three_may_die_and_without_two_a_run_waits_and_resumes() {
    let mut own = OwnCassandra::start("cluster", 3);
    own.stage(ROWS, "3");
    let session = own.session();

    // One is killed under a run: no error, and one process did it all.
    let run = Running::start(own.command(&["score", "visits", "--max-rate", "150"]));
    wait_until("predictions", || own.scored_since(&session, 0) > 100);
    own.signal(3, "KILL");
    let run = run.finish().ok();
    own.assert_whole(ROWS, &run.result());

    // Another one: no quorum is left.
    let now = chrono::Utc::now().timestamp_millis();
    // Slow enough to be under way when the second node dies: with one gone, the looks of this test take
    // seconds on a busy machine.
    let again = ["score", "visits", "--scope", "all", "--max-rate", "20"];
    let run = Running::start(own.command(&again));
    wait_until("predictions", || own.scored_since(&session, now) > 50);
    let killed_at = boot_time();
    own.signal(2, "KILL");
    // It does not wait for ever, says that the run stays open, and sends nothing past its lease:
    // what was written stays behind.
    let began = Instant::now();
    let ended = run.finish();
    assert!(
        began.elapsed() < Duration::from_secs(110),
        "{:?}",
        began.elapsed()
    );
    println!(
        "without a quorum it gave up after {:?}",
        boot_time() - killed_at
    );
    let ended = ended.code(3);
    println!("{}", ended.error()["message"]);

    own.up_again();
    let mut resumed = None;
    // The nodes have yet to see each other.
    wait_for(Duration::from_secs(90), "resumed", || {
        let output = own.helenus(&["score", "visits", "--scope", "all"]);
        let done = output.code == Some(0);
        resumed = Some(output);
        done
    });
    own.assert_whole(ROWS, &resumed.unwrap().result());
}
