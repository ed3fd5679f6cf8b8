//! Cassandra that freezes, and that dies and comes back, under a run.

use std::time::Duration;

use crate::{own::OwnCassandra, stage::wait_until, support::cli::Running};

const ROWS: i32 = 1_500;

#[test]
fn a_run_outlives_a_frozen_and_a_killed_cassandra() {
    let mut own = OwnCassandra::start("outage", 1);
    own.stage(ROWS, "3");
    let session = own.session();

    // Frozen for longer than the lease: the leases run out, the splits are claimed anew.
    let run = Running::start(own.command(&["score", "visits", "--max-rate", "300"]));
    wait_until("predictions", || own.scored_since(&session, 0) > 200);
    own.signal(1, "STOP");
    std::thread::sleep(Duration::from_secs(20));
    own.signal(1, "CONT");
    let run = run.finish();
    let run = match run.code {
        // More than the patience of a request that was on its way: the run stays open.
        Some(3) => own.helenus(&["score", "visits"]),
        _ => run,
    };
    own.assert_whole(ROWS, &run.ok().result());

    // Killed and started again: the command waits, or says that the run stays open and goes on.
    let now = chrono::Utc::now().timestamp_millis();
    let again = ["score", "visits", "--scope", "all"];
    let run = Running::start(own.command(&[&again[..], &["--max-rate", "300"]].concat()));
    wait_until("predictions", || own.scored_since(&session, now) > 200);
    own.signal(1, "KILL");
    own.up_again();
    let ended = run.finish();
    let ended = match ended.code {
        Some(3) => {
            let message = ended.error()["message"].as_str().unwrap().to_owned();
            assert!(
                message.contains("stays open") || message.contains("Cassandra"),
                "{message}"
            );
            own.helenus(&again)
        }
        _ => ended,
    };
    own.assert_whole(ROWS, &ended.ok().result());
}
