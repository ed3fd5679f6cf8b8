//! Four workers, three jobs, wishes every second, features that change, workers that are killed,
//! frozen and drained at random: for HELENUS_SOAK_SECONDS (default: what CI affords).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt;

use crate::{
    stage::{Stage, wait_for},
    support::cli::Running,
};

const WORKERS: usize = 4;
const ROWS: i32 = 1_000;
const JOBS: [&str; 3] = ["visits", "second", "third"];

#[test]
fn workers_that_die_at_random_keep_three_jobs_going() {
    let seconds = std::env::var("HELENUS_SOAK_SECONDS")
        .ok()
        .map_or(60, |text| text.parse().unwrap());
    let stage = Arc::new(Stage::with_rules("soak", ROWS, "max_rejected = \"50%\""));
    stage.create("second", "[1]", "max_rejected = \"50%\"");
    stage.create("third", "[2]", "max_rejected = \"50%\"");
    let (stop, faults) = (Arc::<AtomicBool>::default(), Arc::<Faults>::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (stage, stop, faults) =
                (Arc::clone(&stage), Arc::clone(&stop), Arc::clone(&faults));
            std::thread::spawn(move || keep_working(&stage, &stop, &faults))
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = rand::rng();
    let mut asked = 0;
    while Instant::now() < until {
        let changed: Vec<(i32, f32)> = (0..50)
            .map(|_| {
                (
                    random.random_range(0..ROWS),
                    random.random_range(0..10_000) as f32,
                )
            })
            .collect();
        stage.set(changed.into_iter());
        let poisoned = random.random_range(0..ROWS);
        stage.sandbox.cql(&format!(
            "DELETE x FROM {{data}}.visits WHERE id = {poisoned}"
        ));
        let job = JOBS[random.random_range(0..JOBS.len())];
        ask(&stage, job);
        asked += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    // Nothing changes any more: one last wish each, and everything is to be right.
    wait_for(Duration::from_secs(90), "answers", || {
        let answers = stage.sandbox.rows("SELECT id FROM {helenus}.answers").len();
        answers >= asked && open(&stage) == 0
    });
    for job in JOBS {
        ask(&stage, job);
    }
    wait_for(Duration::from_secs(90), "the last answers", || {
        let answers = stage.sandbox.rows("SELECT id FROM {helenus}.answers").len();
        answers >= asked + JOBS.len() && open(&stage) == 0
    });
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    let mut runs = 0;
    for job in JOBS {
        let all = stage.runs(job);
        let failed: Vec<_> = all
            .iter()
            .filter(|run| run.state.as_str() != "succeeded")
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let newest = all.iter().max_by_key(|run| run.run_base).unwrap();
        stage.assert_whole(newest);
        runs += all.len();
    }
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!(
        "{seconds} s: {asked} wishes, {runs} runs; of the workers {} killed, {} frozen, {} drained",
        of(&faults.kills),
        of(&faults.freezes),
        of(&faults.drains)
    );
    assert!(of(&faults.kills) > 0, "nobody was killed");
}

/// What workers met.
#[derive(Default)]
struct Faults {
    kills: AtomicUsize,
    freezes: AtomicUsize,
    drains: AtomicUsize,
}

fn ask(stage: &Stage, job: &str) {
    stage.sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.run_requests (day, id, job) VALUES (toDate(now()), now(), '{job}')"
    ));
}

fn open(stage: &Stage) -> usize {
    let open = stage.sandbox.rows("SELECT run_id FROM {helenus}.open_runs");
    open.iter().filter(|row| row.contains_key("run_id")).count()
}

/// A worker that comes back after each end: killed, told to leave, or frozen past its lease.
fn keep_working(stage: &Stage, stop: &AtomicBool, faults: &Faults) {
    let mut random = rand::rng();
    while !stop.load(Ordering::Relaxed) {
        let mut worker = Running::start(stage.command(&["worker"]));
        let until = Instant::now() + Duration::from_millis(random.random_range(500..12_000));
        while worker.is_running() && Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(
            worker.is_running(),
            "it ended by itself: {:#?}",
            worker.finish()
        );
        let fault = random.random_range(0..4);
        if fault == 3 {
            worker.signal("STOP");
            faults.freezes.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs(3));
            worker.signal("CONT");
        }
        if fault > 1 || stop.load(Ordering::Relaxed) {
            worker.signal("TERM");
            let output = worker.finish();
            // Without a code: it was told to leave before it listened.
            assert!(matches!(output.code, Some(0) | None), "{output:#?}");
            faults.drains.fetch_add(1, Ordering::Relaxed);
        } else {
            worker.kill();
            faults.kills.fetch_add(1, Ordering::Relaxed);
        }
    }
}
