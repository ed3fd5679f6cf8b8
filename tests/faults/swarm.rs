//! Eight workers on one run, one of them killed every second, to the end.

use std::time::{Duration, Instant};

use helenus::domain::run::Run;

use crate::{
    stage::{Stage, wait_until},
    support::cli::Running,
};

const WORKERS: usize = 8;
const ROWS: i32 = 4_000;

#[test]
fn eight_workers_of_which_one_is_killed_every_second_finish_the_run() {
    let stage = Stage::new("swarm", ROWS);
    // A split at a time, of some 60 predictions, at a worker's share of the 1,000 a second: many a
    // kill meets one in the middle, and hardly one is met four times, which would be a crash loop.
    let start = || {
        let mut command = stage.command(&["worker"]);
        command.env("HELENUS_READERS", "1");
        command.env("HELENUS_MIN_SPLITS", "128");
        Running::start(command)
    };
    let mut workers: Vec<Running> = (0..WORKERS).map(|_| start()).collect();
    // From its second sign of life on each knows of all others, and takes no more than its share.
    wait_until("workers that know each other", || {
        let rows = stage.sandbox.rows("SELECT beat FROM {helenus}.workers");
        let settled = rows.iter().filter(|row| row["beat"].as_bigint() >= Some(2));
        settled.count() == WORKERS
    });
    stage.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, max_rows_per_s) VALUES (toDate(now()), now(), 'visits', 1000)");
    let newest = || stage.runs("visits").into_iter().next();
    wait_until("the run", || newest().is_some_and(|run| run.plan.is_some()));
    let mut kills = 0;
    let (mut next, began) = (Instant::now(), Instant::now());
    // The oldest first, so that each lives for eight seconds; the leader dies like the others.
    let ended = |run: &Run| run.state.is_terminal();
    while !newest().as_ref().is_some_and(ended) {
        if Instant::now() < next {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        // A machine that is slow to start workers would otherwise kill them before they score.
        let last = i32::try_from(workers[WORKERS - 1].pid()).unwrap();
        let rows = stage.sandbox.rows("SELECT pid FROM {helenus}.workers");
        if !rows.iter().any(|row| row["pid"].as_int() == Some(last)) {
            next += Duration::from_millis(100);
            continue;
        }
        workers.remove(0).kill();
        workers.push(start());
        kills += 1;
        next = Instant::now() + Duration::from_secs(1);
        assert!(kills < 90, "it does not come to an end");
    }
    let run = newest().unwrap();
    println!("{kills} workers were killed in {:?}", began.elapsed());
    assert!(kills >= 4, "only {kills} kills");
    assert_eq!(run.counts.scored[&1] as i32, ROWS, "{run:?}");
    stage.assert_whole(&run);
    // The others drain.
    workers.iter().for_each(|worker| worker.signal("TERM"));
    for worker in workers {
        worker.finish().ok();
    }
    let splits = stage
        .sandbox
        .rows(&format!("SELECT epoch, deaths FROM {{helenus}}.splits WHERE job = 'visits' AND run_id = {} ALLOW FILTERING", run.run_id));
    let retaken = splits
        .iter()
        .filter(|split| split["epoch"].as_int() > Some(1))
        .count();
    println!("{retaken} of {} splits changed hands", splits.len());
    assert!(retaken >= 2, "{splits:?}");
}
