//! Rows that cannot be scored: below, at and above what the rules allow.

use helenus::domain::run::RunState;

use crate::{stage::Stage, support::cli};

const ROWS: i32 = 100;

#[test]
fn poison_below_and_at_the_budget_succeeds_and_above_it_fails() {
    for (number, rules) in [
        ("count", "max_rejected = 4"),
        ("share", "max_rejected = \"4%\""),
    ] {
        let stage = Stage::with_rules(&format!("poison_{number}"), ROWS, rules);
        stage.assert_succeeded(stage.score());
        for poisoned in 1..=5 {
            stage.sandbox.cql(&format!(
                "DELETE x FROM {{data}}.visits WHERE id = {}",
                poisoned * 7
            ));
            let output = stage.score();
            if poisoned <= 4 {
                let run = stage.assert_succeeded(output);
                assert_eq!(run.counts.rejected[&2], poisoned, "{run:?}");
                continue;
            }
            let failed = output.code(1).result();
            assert_eq!(failed["state"], "failed");
            let reason = failed["reason"].as_str().unwrap();
            assert!(reason.starts_with("too_many_rejected"), "{reason}");
            // Poisoned rows have no prediction of yesterday; all others are right.
            let source = stage.source();
            for prediction in stage.predictions("visits") {
                assert_eq!(prediction.y, source[&prediction.id], "{prediction:?}");
            }
        }
        // A worker does not try it again by itself.
        cli::run(stage.command(&["worker", "--once"])).ok();
        assert_eq!(stage.newest().state, RunState::Failed);
        // Healed, the next run succeeds.
        stage.insert(7..8);
        stage.assert_succeeded(stage.score());
    }
}

#[test]
fn poison_is_counted_once_though_its_worker_died_over_it() {
    let stage = Stage::with_rules("poison_killed", ROWS, "max_rejected = 4");
    for id in [1, 2, 3, 4] {
        stage
            .sandbox
            .cql(&format!("DELETE x FROM {{data}}.visits WHERE id = {id}"));
    }
    stage.killed(&["score", "visits"], "mid_split=kill:6");
    stage.killed(&["score", "visits"], "before_finish=kill:2");
    let run = stage.assert_succeeded(stage.score());
    assert_eq!(run.counts.rejected[&1], 4, "{run:?}");
    // Of that run: the score that ended it was served again by a run of its own, which found nothing new.
    let id = run.run_id.to_string();
    let listed = cli::run(stage.command(&["run", "rejected", "visits", &id]))
        .ok()
        .result();
    // Both versions of each.
    assert_eq!(listed.as_array().unwrap().len(), 8, "{listed}");
}
