//! Planning that takes longer than a lease time.

use helenus::domain::run::RunState;

use crate::stage::{Stage, wait_until};

#[test]
fn a_run_that_is_planned_for_long_is_not_held_for_dead() {
    let stage = Stage::new("planning_long", 40);
    // Three lease times.
    let slow = stage.start_with(&["score", "visits"], "during_planning=wait");
    wait_until("it is being planned", || {
        let runs = stage.runs("visits");
        runs.first()
            .is_some_and(|run| run.state == RunState::Planning)
    });
    // With another scope: it waits for the planner, and then finds a run that is open, or none.
    let beside = stage.start_with(&["score", "visits", "--scope", "all"], "");
    let first = stage.run("visits", &slow.finish().ok().result());
    assert_eq!(first.state, RunState::Succeeded, "{first:?}");
    let beside = beside.finish();
    assert!([Some(0), Some(4)].contains(&beside.code), "{beside:?}");
}
