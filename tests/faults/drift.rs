//! A run's profile counts every row once, whatever happened on the way.

use scylla::value::CqlValue;

use crate::stage::{Stage, kill_at};

const ROWS: i32 = 400;

#[test]
fn a_killed_split_is_counted_again_and_only_once() {
    let stage = Stage::new("drift_kill", ROWS);
    let mut value = 0;
    for place in [
        "mid_split=kill:9",
        "before_finish=kill:3",
        "after_finish=kill:2",
        "before_close",
    ] {
        value += 1_000;
        stage.set((0..ROWS).map(|id| (id, (value + id) as f32)));
        stage.killed(&["score", "visits"], &kill_at(place));
        let run = stage.assert_succeeded(stage.score());
        for version in [1, 2] {
            let profiles = stage.sandbox.rows(&format!(
                "SELECT feature, cells, nulls, nans, source_rows FROM {{helenus}}.drift_profiles WHERE job = 'visits' AND version = {version} AND segment = '' AND feature IN ('', 'x', 'out.y') AND run_id = {}",
                run.run_id
            ));
            assert_eq!(profiles.len(), 3, "{place}: {profiles:?}");
            for row in profiles {
                if row["feature"].as_text().unwrap().is_empty() {
                    assert_eq!(row["source_rows"], CqlValue::BigInt(i64::from(ROWS)));
                    continue;
                }
                let CqlValue::List(cells) = &row["cells"] else {
                    panic!("{row:?}")
                };
                let counted: i64 = cells.iter().filter_map(CqlValue::as_bigint).sum();
                assert_eq!(counted, i64::from(ROWS), "{place}: {row:?}");
            }
        }
    }
}
