//! Triggers by the clock: rows and their answers, ticks, overlap, downtime, two schedulers.

use chrono::{TimeDelta, Utc};
use helenus::{
    control::{
        requests::{self, Outcome},
        scheduler::Scheduler,
    },
    domain::{
        run::{RunState, run_id},
        trigger::TriggerState,
    },
    store::runs::run_requests::RunRequest,
};
use serde_json::json;

use crate::support::{
    block_on,
    garden::{Garden, at},
};

mod time;

#[test]
fn rows_from_cqlsh_are_answered_each_for_itself() {
    let garden = Garden::new("trigger_rows");
    garden.job("iris");
    garden
        .sandbox
        .cqlsh(
            "INSERT INTO {helenus}.triggers (job, name, every) VALUES ('iris', 'good', '1d');
             INSERT INTO {helenus}.triggers (job, name) VALUES ('iris', 'empty');
             INSERT INTO {helenus}.triggers (job, name, cron, every) VALUES ('iris', 'both', '* * * * *', '5m');
             INSERT INTO {helenus}.triggers (job, name, cron, time_zone, overlap) VALUES ('iris', 'bad', '61 * * * *', 'Mars/Crater', 'maybe');
             INSERT INTO {helenus}.triggers (job, name, every) VALUES ('irsi', 'lost', '5m');
             INSERT INTO {helenus}.triggers (job, name, after_job) VALUES ('iris', 'itself', 'iris');
             INSERT INTO {helenus}.triggers (job, name, every, paused) VALUES ('iris', 'resting', '5m', true);
             UPDATE {helenus}.triggers SET removed = true WHERE job = 'iris' AND name = 'never';",
        )
        .ok();
    let done = garden.worker();
    assert_eq!((&done["triggers"], &done["fired"]), (&json!(8), &json!(0)));
    let good = garden.status("iris", "good");
    assert_eq!((good.state, good.problems.len()), (TriggerState::Ready, 0));
    assert!(good.next_due.unwrap() > Utc::now() - TimeDelta::minutes(1));
    let problems = |job: &str, name: &str| {
        let status = garden.status(job, name);
        assert_eq!(status.state, TriggerState::Invalid, "{status:?}");
        assert_eq!(status.next_due, None);
        status.problems.join("\n")
    };
    assert!(problems("iris", "empty").starts_with("trigger.no_kind"));
    assert!(problems("iris", "both").contains("cron, every"));
    let bad = problems("iris", "bad");
    for code in ["trigger.cron", "trigger.time_zone", "trigger.overlap"] {
        assert!(bad.contains(code), "{bad}");
    }
    assert!(problems("irsi", "lost").contains("did you mean `iris`?"));
    assert!(problems("iris", "itself").contains("iris → iris"));
    assert_eq!(garden.status("iris", "resting").state, TriggerState::Paused);
    assert_eq!(garden.status("iris", "never").state, TriggerState::Removed);
    // Answered is answered; a mended row is answered anew, a deleted one as removed.
    assert_eq!(garden.worker()["triggers"], 0);
    garden
        .sandbox
        .cql("UPDATE {helenus}.triggers SET every = '1d' WHERE job = 'iris' AND name = 'empty'");
    garden
        .sandbox
        .cql("DELETE FROM {helenus}.triggers WHERE job = 'iris' AND name = 'good'");
    assert_eq!(garden.worker()["triggers"], 2);
    assert_eq!(garden.status("iris", "empty").state, TriggerState::Ready);
    assert_eq!(garden.status("iris", "good").state, TriggerState::Removed);
    assert_eq!(garden.runs("iris"), []);
}

#[test]
fn the_commands_write_rows_and_tell_when_each_fires_next() {
    let garden = Garden::new("trigger_commands");
    garden.job("iris");
    let sandbox = &garden.sandbox;
    let added = sandbox
        .json(&[
            "trigger",
            "add",
            "iris",
            "nightly",
            "--cron",
            "30 2 * * *",
            "--time-zone",
            "Europe/Rome",
            "--note",
            "why",
        ])
        .ok()
        .result();
    assert_eq!(added["state"], "ready");
    assert_eq!(added["fires"], "cron 30 2 * * * (Europe/Rome)");
    let local = added["next_local"].as_str().unwrap();
    assert!(local.contains("T02:30:00+0"), "{local}");
    let error =
        |arguments: &[&str], code| sandbox.json(arguments).code(code).error()["code"].clone();
    assert_eq!(
        error(&["trigger", "add", "iris", "nightly", "--every", "5m"], 4),
        "trigger.exists"
    );
    assert_eq!(
        error(&["trigger", "add", "irsi", "x", "--every", "5m"], 5),
        "job.unknown"
    );
    assert_eq!(
        error(&["trigger", "add", "iris", "x", "--every", "5"], 2),
        "trigger.every"
    );
    assert_eq!(
        error(&["trigger", "add", "iris", "x", "--after-job", "nobody"], 2),
        "trigger.unknown_job"
    );
    assert_eq!(
        error(&["trigger", "show", "iris", "nightyl"], 5),
        "trigger.unknown"
    );
    sandbox.helenus(&["trigger", "remove", "iris", "x"]).ok();
    sandbox
        .helenus(&[
            "trigger",
            "add",
            "iris",
            "nightly",
            "--every",
            "6h",
            "--replace",
        ])
        .ok();
    let paused = sandbox
        .json(&["trigger", "pause", "iris", "nightly"])
        .ok()
        .result();
    assert_eq!(
        (&paused["state"], &paused["next"]),
        (&json!("paused"), &json!(null))
    );
    let resumed = sandbox
        .json(&["trigger", "resume", "iris", "nightly"])
        .ok()
        .result();
    assert_eq!(resumed["state"], "ready");
    sandbox
        .helenus(&[
            "trigger",
            "add",
            "iris",
            "moved",
            "--on-promotion",
            "champion",
        ])
        .ok();
    let next = sandbox
        .json(&["trigger", "next", "iris", "--count", "4"])
        .ok()
        .result();
    let ticks = next["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 4);
    let times: Vec<_> = ticks
        .iter()
        .map(|tick| at(tick["due"].as_str().unwrap()))
        .collect();
    assert!(
        times
            .windows(2)
            .all(|pair| pair[1] - pair[0] == TimeDelta::hours(6)),
        "{times:?}"
    );
    assert_eq!(next["waiting"][0]["name"], "moved");
    let shown = sandbox
        .json(&["trigger", "show", "iris", "nightly"])
        .ok()
        .result();
    assert_eq!(
        (&shown["row"]["every"], &shown["row"]["cron"]),
        (&json!("6h"), &json!(null))
    );
    let names = |arguments: &[&str]| {
        let list = sandbox.json(arguments).ok().result()["triggers"].clone();
        list.as_array()
            .unwrap()
            .iter()
            .map(|trigger| trigger["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["trigger", "list"]), ["moved", "nightly"]);
    assert_eq!(
        names(&["trigger", "list", "iris", "--all"]),
        ["moved", "nightly", "x"]
    );
    let text = sandbox.helenus(&["trigger", "list"]).ok().stdout;
    assert!(
        text.contains("every 6h") && text.contains("never fired"),
        "{text}"
    );
}

#[test]
fn two_schedulers_at_the_same_instant_make_one_run() {
    let garden = Garden::new("trigger_two");
    garden.job("iris");
    garden.trigger("iris", "often", "every", "'1m'");
    let (mut one, mut two) = (Scheduler::default(), Scheduler::default());
    let start = at("2027-03-01T00:00:30Z");
    garden.round(&mut one, start);
    garden.round(&mut two, start);
    for minute in 1..=3 {
        let now = at(&format!("2027-03-01T00:0{minute}:00Z"));
        let fired = block_on(async {
            let other = garden.sandbox.store().await;
            let (begun, begun_too) =
                tokio::join!(one.round(&garden.store, now), two.round(&other, now));
            let (begun, begun_too) = (begun.unwrap(), begun_too.unwrap());
            let (ended, ended_too) = tokio::join!(one.settle(), two.settle());
            let rounds = [begun, begun_too, ended, ended_too];
            rounds
                .into_iter()
                .flat_map(|round| round.fired)
                .collect::<Vec<_>>()
        });
        let expected = run_id::derive("iris", "often", now.timestamp_micros() as u64 * 10);
        assert!(!fired.is_empty());
        assert!(
            fired.iter().all(|fired| fired.run_id == expected),
            "{fired:?}"
        );
        assert_eq!(garden.runs("iris").len(), minute);
        assert_eq!(garden.finish("iris").run_id, expected);
        assert_eq!(garden.status("iris", "often").last_run, Some(expected));
    }
}

#[test]
fn two_processes_that_find_a_missed_tick_make_one_run() {
    let garden = Garden::new("trigger_processes");
    garden.job("iris");
    garden.trigger("iris", "rarely", "every", "'1d'");
    garden.round(&mut Scheduler::default(), Utc::now() - TimeDelta::days(3));
    let workers: Vec<_> = (0..3)
        .map(|_| garden.sandbox.start(&["worker", "--once"]))
        .collect();
    for worker in workers {
        worker.finish().ok();
    }
    let runs = garden.runs("iris");
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!(runs[0].state, RunState::Succeeded);
    assert_eq!(
        (
            runs[0].trigger.as_str(),
            runs[0].due_at.timestamp() % 86_400
        ),
        ("rarely", 0)
    );
    // Nor does the next one make it again.
    assert_eq!(garden.worker()["fired"], 0);
}

#[test]
fn overlap_skips_queues_or_cancels_and_a_persons_run_is_waited_for() {
    let garden = Garden::new("trigger_overlap");
    for overlap in ["skip", "queue", "cancel"] {
        garden.job(overlap);
        garden.trigger(
            overlap,
            "t",
            "every, overlap",
            &format!("'10m', '{overlap}'"),
        );
    }
    garden.job("person");
    garden.trigger(
        "person",
        "t",
        "every, overlap, scope",
        "'10m', 'cancel', 'all'",
    );
    let mut scheduler = Scheduler::default();
    let mut round = |time: &str| {
        garden
            .round(&mut scheduler, at(&format!("2027-03-01T{time}Z")))
            .len()
    };
    round("00:05:00");
    let request = RunRequest {
        day: Utc::now().date_naive(),
        id: helenus::process::timeuuid(),
        job: Some("person".into()),
        ..RunRequest::default()
    };
    block_on(async {
        garden.store.insert_run_request(&request).await.unwrap();
        let outcome = requests::answer(&garden.store, &request, None).await;
        assert!(matches!(outcome, Ok(Outcome::Answered(_))), "{outcome:?}");
    });
    assert_eq!(round("00:10:00"), 3);
    // Nobody works on the runs: all are open at the next tick.
    assert_eq!(round("00:20:00"), 0);
    let (outcome, reason) = garden.outcome("skip", "t");
    assert_eq!(
        (outcome.as_str(), reason.contains("is open")),
        ("skipped", true)
    );
    assert_eq!(garden.outcome("queue", "t").0, "queued");
    assert_eq!(garden.outcome("cancel", "t").0, "cancelling");
    assert_eq!(garden.outcome("person", "t").0, "queued");
    let states = |job: &str| {
        garden
            .runs(job)
            .iter()
            .rev()
            .map(|run| run.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(states("cancel"), [RunState::Cancelled]);
    assert_eq!(states("person"), [RunState::Running]);
    // The cancelled run is gone, the others are not.
    assert_eq!(round("00:20:05"), 1);
    assert_eq!(states("cancel"), [RunState::Cancelled, RunState::Running]);
    assert_eq!(states("queue"), [RunState::Running]);
    // Two more ticks come while one is queued: they are that one's.
    round("00:45:00");
    garden.finish("queue");
    garden.finish("person");
    assert_eq!(round("00:45:05"), 3);
    assert_eq!(
        garden.dues("queue"),
        [at("2027-03-01T00:10:00Z"), at("2027-03-01T00:20:00Z")]
    );
    assert_eq!(
        garden.status("queue", "t").next_due,
        Some(at("2027-03-01T00:50:00Z"))
    );
    assert_eq!(garden.runs("person").len(), 2);
    assert_eq!(
        garden.status("skip", "t").last_run,
        Some(garden.runs("skip")[0].run_id)
    );
}

#[test]
fn a_scheduler_that_dies_after_firing_leaves_one_run() {
    let garden = Garden::new("trigger_dies");
    garden.job("iris");
    garden.trigger("iris", "often", "every", "'10m'");
    let now = at("2027-03-01T00:10:00Z");
    let mut scheduler = Scheduler::default();
    garden.round(&mut scheduler, now - TimeDelta::minutes(5));
    let fired = garden.round(&mut scheduler, now);
    let die = || {
        let seq = garden.status("iris", "often").seq;
        garden.sandbox.cql(&format!(
            "UPDATE {{helenus}}.trigger_status SET seq = {}, queued_due = '2027-03-01 00:10:00+0000', last_run = null, last_due = null WHERE job = 'iris' AND name = 'often' IF seq = {seq}",
            seq + 1
        ));
    };
    // As it stands when the scheduler dies once the run is opened, before it is noted.
    die();
    let again = garden.round(&mut Scheduler::default(), now + TimeDelta::seconds(30));
    assert_eq!(again, fired);
    // The same, and the run has ended meanwhile.
    garden.finish("iris");
    die();
    let again = garden.round(&mut Scheduler::default(), now + TimeDelta::seconds(60));
    assert_eq!(again, fired);
    assert_eq!(garden.runs("iris").len(), 1);
    assert_eq!(
        garden.status("iris", "often").last_run,
        Some(fired[0].run_id)
    );
    assert_eq!(
        garden.status("iris", "often").next_due,
        Some(at("2027-03-01T00:20:00Z"))
    );
}
