//! Retraining when processes die: one request makes one version, and nothing is promoted without its
//! gate, wherever a trainer or the worker is killed.

use std::time::Duration;

use crate::{
    proxy::{Fault, Proxy},
    stage::{is_stopped, wait_for, wait_until},
    support::{
        Model,
        cli::{self, Running},
        trained::{Trained, shell},
    },
};

/// A command that "trains" version 1 again, in no time.
fn copies() -> String {
    let model = Model::named("breast_cancer_lgbm");
    let files = ["model.onnx", "features.txt", "golden.csv"];
    let copy = files.map(|file| format!("cp {} output/", model.path(file)));
    shell(&copy.join("; "))
}

#[test]
fn a_trainer_killed_at_any_step_is_followed_by_another_and_one_version_comes_of_it() {
    for place in [
        "after_training_claimed",
        "after_training_data",
        "after_training_command",
        "after_version_reserved",
        "after_version_registered",
    ] {
        let trained = Trained::new(&format!("r_{place}"));
        let settings = trained.settings(&[("copy", copies())]);
        trained.start("copy", &[]);
        trained.worker();
        let killed = trained
            .start_trainer(&settings, &format!("{place}=kill"))
            .finish();
        assert_eq!(killed.code, None, "{place} was not met: {killed:#?}");
        trained.train(&settings).ok();
        assert_eq!(trained.versions(), [1, 2, 3], "{place}");
        trained.worker();
        let request = trained.request();
        assert_eq!(request["state"], "evaluated", "{place}: {request}");
        assert_eq!(request["version"], 3, "{place}");
        assert_eq!(trained.alias("champion"), 1, "{place}");
        trained.train(&settings).ok();
        trained.worker();
        assert_eq!(trained.versions(), [1, 2, 3], "{place}");
    }
}

#[test]
fn a_worker_killed_at_any_step_is_followed_by_another_and_nothing_is_done_twice() {
    let trained = Trained::new("r_worker");
    let settings = trained.settings(&[("copy", copies())]);
    let killed = |place: &str| {
        let mut command = trained.sandbox().command(&["worker", "--once"]);
        command.env("HELENUS_FAILPOINTS", format!("{place}=kill"));
        let killed = Running::start(command).finish();
        assert_eq!(killed.code, None, "{place} was not met: {killed:#?}");
    };
    trained.start("copy", &[]);
    killed("after_retraining_asked");
    trained.worker();
    trained.train(&settings).ok();
    for place in [
        "before_retraining_step",
        "after_challenger",
        "after_retraining_run",
        "after_retraining_evaluated",
    ] {
        killed(place);
    }
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "evaluated", "{request}");
    let count = |cql: &str| trained.sandbox().rows(cql).len();
    assert_eq!(trained.versions(), [1, 2, 3]);
    assert_eq!(
        count(
            "SELECT id FROM {helenus}.retraining_requests WHERE model = 'tumour' AND name = 'again'"
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT seq FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'challenger'"
        ),
        2
    );
    assert_eq!(
        count(
            "SELECT run_id FROM {helenus}.runs WHERE job = 'tumour' AND trigger = 'retraining' ALLOW FILTERING"
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT evaluation FROM {helenus}.evaluations WHERE model = 'tumour' AND version = 3"
        ),
        1
    );
    assert_eq!(trained.alias("champion"), 1);
}

#[test]
fn a_trainer_that_was_frozen_makes_no_second_version() {
    for place in ["after_training_command", "after_version_reserved"] {
        let trained = Trained::new(&format!("z_{place}"));
        let settings = trained.settings(&[("copy", copies())]);
        trained.start("copy", &[]);
        trained.worker();
        let mut frozen = trained.start_trainer(&settings, &format!("{place}=stop"));
        wait_until(place, || {
            assert!(frozen.is_running(), "{place} was not met");
            is_stopped(frozen.pid())
        });
        // The lease time is two seconds; another trainer watches it before it takes over.
        let second = settings.clone();
        let next = trained.sandbox().start(&["trainer", "--config", &second]);
        wait_for(Duration::from_secs(60), "the next trainer", || {
            trained.request()["training"]["state"] == "trained"
        });
        frozen.signal("CONT");
        wait_for(Duration::from_secs(60), "the frozen one's end", || {
            !frozen.is_running()
        });
        drop(next);
        assert_eq!(trained.versions(), [1, 2, 3], "{place}");
        trained.worker();
        assert_eq!(trained.request()["state"], "evaluated", "{place}");
        assert_eq!(trained.versions(), [1, 2, 3], "{place}");
    }
}

#[test]
fn of_two_trainers_one_trains() {
    let trained = Trained::new("r_two");
    let count = trained.sandbox().directory().join("count");
    let line = format!("echo x >> {}; sleep 1; exit 1", count.display());
    let settings = trained.settings(&[("slow", shell(&line))]);
    trained.start("slow", &[]);
    trained.worker();
    let both = [0, 1].map(|_| trained.start_trainer(&settings, ""));
    let served: u64 = both
        .map(|one| one.finish().ok().result()["served"].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!(served, 1);
    assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 1);
}

#[test]
fn the_command_dies_with_its_trainer() {
    let trained = Trained::new("r_orphan");
    let pid = trained.sandbox().directory().join("pid");
    let line = format!("echo $$ > {}; exec sleep 600", pid.display());
    let settings = trained.settings(&[("sleep", shell(&line))]);
    trained.start("sleep", &[]);
    trained.worker();
    let trainer = trained.start_trainer(&settings, "");
    wait_until("the command", || {
        std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    let pid = std::fs::read_to_string(&pid).unwrap();
    let command = format!("/proc/{}", pid.trim());
    assert!(std::path::Path::new(&command).exists());
    trainer.kill();
    wait_until("the command's end", || {
        !std::path::Path::new(&command).exists()
    });
}

#[test]
fn answers_that_are_lost_make_no_second_version() {
    let proxy = Proxy::start();
    for statement in [
        "INSERT INTO trainings",
        "UPDATE trainings SET version",
        "INSERT INTO model_versions",
        "UPDATE trainings SET state",
    ] {
        let trained = Trained::new("r_lost");
        let settings = trained.settings(&[("copy", copies())]);
        trained.start("copy", &[]);
        trained.worker();
        proxy.once(&[statement], Fault::DropResponse);
        let mut command = trained.trainer(&settings, "");
        command
            .env("HELENUS_CONTACT_POINTS", &proxy.contact)
            .env("HELENUS_COMPRESSION", "none")
            .env("HELENUS_REQUEST_TIMEOUT", "1s");
        cli::run(command);
        assert_eq!(proxy.faults(), 1, "{statement} was not met");
        // If it gave up, another one finishes.
        trained.train(&settings).ok();
        assert_eq!(trained.versions(), [1, 2, 3], "{statement}");
        trained.worker();
        assert_eq!(trained.request()["state"], "evaluated", "{statement}");
        assert_eq!(trained.versions(), [1, 2, 3], "{statement}");
    }
}

#[test]
fn a_cassandra_that_is_away_meanwhile_costs_an_attempt_and_no_version() {
    let proxy = Proxy::start();
    let trained = Trained::new("r_away");
    let began = trained.sandbox().directory().join("began");
    let line = copies().replace(
        "'''cp",
        &format!("'''echo x >> {}; sleep 4; cp", began.display()),
    );
    let settings = trained.settings(&[("slow", line)]);
    trained.start("slow", &[]);
    trained.worker();
    let mut command = trained
        .sandbox()
        .command(&["trainer", "--config", &settings]);
    command
        .env("HELENUS_CONTACT_POINTS", &proxy.contact)
        .env("HELENUS_COMPRESSION", "none")
        .env("HELENUS_REQUEST_TIMEOUT", "1s");
    let trainer = Running::start(command);
    let attempts = || {
        std::fs::read_to_string(&began)
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until("the command", || attempts() == 1);
    // For longer than the lease time of two seconds nothing gets through.
    proxy.rule(|_| Fault::DropRequest);
    std::thread::sleep(Duration::from_secs(6));
    proxy.rule(|_| Fault::None);
    wait_for(Duration::from_secs(90), "the training", || {
        trained.request()["training"]["state"] == "trained"
    });
    drop(trainer);
    assert_eq!(attempts(), 2);
    assert_eq!(trained.versions(), [1, 2, 3]);
    trained.worker();
    assert_eq!(trained.request()["state"], "evaluated");
    assert_eq!(trained.alias("champion"), 1);
}
