//! Versions that are slow, hostile or deadly, libraries of other versions, and two services at once.

use super::*;

#[test]
fn a_time_limit_is_a_verdict_and_is_not_tried_again() {
    let sandbox = Sandbox::shared("admit_kill");
    let name = sandbox.name("killer");
    block_on(async {
        let store = Store::connect(&quick(&sandbox)).await.unwrap();
        let version = Push::hostile("endless_loop.onnx", &name).send(&store).await;
        let begun = Instant::now();
        let admission = decide(&store, &name, version).await;
        assert_rejected(&admission, "took more than 2 s");
        assert!(begun.elapsed() < Duration::from_millis(3_900), "twice");
    });
}

#[test]
fn a_good_version_behind_six_endless_ones_is_ready_soon() {
    let sandbox = Sandbox::migrated("admit_queue");
    block_on(async {
        let mut config = sandbox.config();
        config.admission_timeout = Duration::from_secs(10);
        let store = Store::connect(&config).await.unwrap();
        for name in ["a", "b", "c", "d", "e", "f"] {
            Push::hostile("endless_loop.onnx", name).send(&store).await;
        }
        let version = Push::shipped("iris_mlp", "z_good").send(&store).await;
        let mut service = Service::new(&store).unwrap();
        let begun = Instant::now();
        // Its first look may be too short where the machine is busy.
        while store.admission("z_good", version).await.unwrap().is_none() {
            service.sweep(&store).await.unwrap();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
        let admission = store.admission("z_good", version).await.unwrap().unwrap();
        assert_eq!(admission.state, AdmissionState::Ready);
        assert!(service.has_slow());
        assert_eq!(service.run_once(&store).await.unwrap(), 6);
        for name in ["a", "b", "c", "d", "e", "f"] {
            let admission = store.admission(name, 1).await.unwrap().unwrap();
            assert_rejected(&admission, "took more than 10 s");
        }
        assert_eq!(service.run_once(&store).await.unwrap(), 0);
    });
}

#[test]
fn what_a_version_accepts_must_be_known() {
    let sandbox = Sandbox::shared("admit_accepts");
    let name = sandbox.name("accepts");
    block_on(async {
        let store = sandbox.store().await;
        let mut push = Push::shipped("iris_mlp", &name);
        push.row.accepts = Some(["everything".to_owned()].into());
        let version = push.send(&store).await;
        assert_rejected(
            &decide(&store, &name, version).await,
            "accepts holds `everything`",
        );
    });
}

#[test]
fn what_killed_two_workers_is_rejected_without_a_third() {
    let sandbox = Sandbox::shared("admit_workers");
    let name = sandbox.name("worker_killer");
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("iris_mlp", &name).send(&store).await;
        // As two workers leave it that died at work, after the lease was given back by hand.
        cql(
            &sandbox,
            &format!(
                "INSERT INTO {{helenus}}.leases (name, epoch, beat, attempts) VALUES ('admission/{name}/{version}', 2, 0, 2) IF NOT EXISTS"
            ),
        );
        assert_rejected(&decide(&store, &name, version).await, "2 workers died");
    });
}

#[test]
fn one_hostile_model_stops_no_other() {
    let sandbox = Sandbox::migrated("admit_sweep");
    block_on(async {
        let store = Store::connect(&quick(&sandbox)).await.unwrap();
        Push::hostile("endless_loop.onnx", "a_first")
            .send(&store)
            .await;
        Push::hostile("deep_functions.onnx", "b_second")
            .send(&store)
            .await;
        cql(
            &sandbox,
            "INSERT INTO {helenus}.model_versions (name, version) VALUES ('c_third', 1)",
        );
        // Another's verdict that nobody can read.
        cql(
            &sandbox,
            "INSERT INTO {helenus}.admissions (name, version, state) VALUES ('d_fourth', 1, 'perhaps')",
        );
        cql(
            &sandbox,
            "INSERT INTO {helenus}.model_versions (name, version) VALUES ('d_fourth', 1)",
        );
        for _ in 0..2 {
            Push::shipped("iris_mlp", "z_last").send(&store).await;
        }
        let mut service = Service::new(&store).unwrap();
        assert_eq!(service.run_once(&store).await.unwrap(), 5);
        for (name, state) in [
            ("a_first", AdmissionState::Rejected),
            ("b_second", AdmissionState::Rejected),
            ("c_third", AdmissionState::Rejected),
            ("z_last", AdmissionState::Ready),
        ] {
            for admission in store.admissions(name).await.unwrap() {
                assert_eq!(admission.state, state, "{name}");
            }
        }
        assert_eq!(store.admissions("z_last").await.unwrap().len(), 2);
        assert_eq!(service.run_once(&store).await.unwrap(), 0);
    });
}

#[test]
fn a_newer_library_looks_again_and_an_older_one_does_not() {
    let sandbox = Sandbox::shared("admit_again");
    let name = sandbox.name("again");
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("iris_mlp", &name).send(&store).await;
        let first = decide(&store, &name, version).await;
        let pretend = |runtime: &str| {
            cql(
                &sandbox,
                &format!(
                    "UPDATE {{helenus}}.admissions SET runtime_version = '{runtime}' WHERE name = '{name}' AND version = {version} IF EXISTS"
                ),
            );
        };
        pretend("1.9.7");
        let again = decide(&store, &name, version).await;
        assert_eq!(again.runtime_version, first.runtime_version);
        assert_ne!(again.decided_at, first.decided_at);
        pretend("9.0.0");
        let third = decide(&store, &name, version).await;
        assert_eq!(third.runtime_version.as_deref(), Some("9.0.0"));
    });
}

#[test]
fn an_older_library_looks_before_its_first_split_and_writes_nothing() {
    let sandbox = Sandbox::shared("admit_confirm");
    let (good, bad) = (sandbox.name("fine"), sandbox.name("not_here"));
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("wine_lgbm", &good).send(&store).await;
        let first = decide(&store, &good, version).await;
        let mut ready = ReadyVersion {
            model: good.clone(),
            version,
            admitted: first.admitted.clone().expect("ready"),
        };
        confirm(&store, &ready).await.expect("the same library");
        ready.admitted.runtime_version = "9.0.0".to_owned();
        confirm(&store, &ready).await.expect("looked at again");
        assert_eq!(decide(&store, &good, version).await, first);
        // As a newer library may have admitted it.
        let version = Push::hostile("future_opset.onnx", &bad).send(&store).await;
        ready.model.clone_from(&bad);
        ready.version = version;
        ready.admitted.sha256 = [7; 32];
        let refused = confirm(&store, &ready).await.expect_err("refused here");
        assert_eq!(refused.problems[0].code, "model.not_here");
        assert!(refused.problems[0].message.contains("opset"), "{refused}");
        assert!(
            store
                .admission(&bad, version)
                .await
                .expect("read")
                .is_none()
        );
    });
}

#[test]
fn two_services_write_one_verdict() {
    let sandbox = Sandbox::shared("admit_race");
    let name = sandbox.name("race");
    block_on(async {
        let store = sandbox.store().await;
        let version = Push::shipped("wine_catboost", &name).send(&store).await;
        let decide = || async {
            let mut service = Service::new(&store).unwrap();
            service.decide(&store, &name, version).await.unwrap()
        };
        let (one, two) = tokio::join!(decide(), decide());
        let answers = [one, two];
        let decided = answers
            .iter()
            .filter(|answer| matches!(answer, Answer::Decided(_)))
            .count();
        assert!(decided >= 1, "{answers:?}");
        assert_eq!(store.admissions(&name).await.unwrap().len(), 1);
    });
}
