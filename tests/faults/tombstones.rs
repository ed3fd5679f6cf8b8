//! Expired predictions in the way of a scan, more than Cassandra reads at a time.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use helenus::{codec::ring::TokenRange, store::driver::scan::token_of};

use crate::{
    stage::{Stage, wait_for},
    support::{block_on, cassandra::session},
};

/// Cassandra's `tombstone_failure_threshold` is 100,000.
const EXPIRED: usize = 150_000;
const ROWS: i32 = 200;

#[test]
fn a_scan_gets_through_150_000_expired_predictions() {
    let stage = Stage::with_rules("tombstones", ROWS, "ttl = \"1d\"");
    let first = stage.assert_succeeded(stage.score());
    // All in one split of the ring, with living rows before, between and behind them.
    let split = first.plan.unwrap().splits[3].unwrap();
    let ids: Vec<i32> = (1_000..)
        .filter(|id: &i32| split.contains(token_of(&id.to_be_bytes())))
        .take(EXPIRED)
        .collect();
    let insert = format!(
        "INSERT INTO \"{}\".visits_predictions (id, model_version, y) VALUES (?, 1, 1) USING TTL 1",
        stage.sandbox.data
    );
    block_on(async {
        let mut insert = session().prepare(insert).await.unwrap();
        insert.set_is_idempotent(true);
        futures::stream::iter(&ids)
            .map(|id| session().execute_unpaged(&insert, (id,)))
            .buffer_unordered(256)
            .map_ok(drop)
            .try_collect::<()>()
            .await
            .unwrap();
    });
    // That they are in the way: a plain reader does not get through.
    let too_many = || read_error(&stage, split).is_some_and(|error| error.contains("TOMBSTONE"));
    wait_for(Duration::from_secs(30), "too many tombstones", too_many);

    let unchanged = stage.assert_succeeded(stage.score());
    assert_eq!(unchanged.counts.unchanged[&1] as i32, ROWS, "{unchanged:?}");
    stage.set((0..ROWS).step_by(2).map(|id| (id, -id as f32)));
    let changed = stage.assert_succeeded(stage.score());
    assert_eq!(
        changed.counts.scored[&2] as i32,
        ROWS / 2 - 1,
        "{changed:?}"
    );
}

fn read_error(stage: &Stage, range: TokenRange) -> Option<String> {
    let select = format!(
        "SELECT id, y FROM \"{}\".visits_predictions WHERE token(id) > {} AND token(id) <= {}",
        stage.sandbox.data, range.after, range.up_to
    );
    let read = block_on(session().query_unpaged(select, ()));
    read.err().map(|error| error.to_string())
}
