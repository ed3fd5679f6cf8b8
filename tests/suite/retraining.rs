//! Models that are trained again: when, by whom, once, and never promoted but by their gate.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use helenus::domain::{evidence::group::hash_of, retraining::held_out::HeldOut};
use serde_json::{Value, json};

use crate::support::{
    Model,
    trained::{Trained, example, shell},
};

mod refused;

const GATE: [&str; 8] = [
    "gate",
    "add",
    "tumour",
    "better",
    "--metric",
    "log_loss",
    "--min-labelled-rows",
    "50",
];

fn gate(trained: &Trained, options: &[&str]) {
    let labels = trained.labels();
    let words = [&GATE[..], &["--labels", &labels], options].concat();
    trained.sandbox().helenus(&words).ok();
}

/// Makes the champion a poor one: a model that was trained on a shifted source.
fn shift(trained: &Trained) {
    let sandbox = trained.sandbox();
    for row in sandbox.rows("SELECT id, worst_radius, mean_radius FROM {data}.biopsies") {
        let value = |name: &str| row[name].as_float().unwrap() * 1.8 + 32.0;
        sandbox.cql(&format!(
            "UPDATE {{data}}.biopsies SET worst_radius = {}, mean_radius = {} WHERE id = {}",
            value("worst_radius"),
            value("mean_radius"),
            row["id"].as_int().unwrap()
        ));
    }
}

#[test]
fn a_shifted_source_leads_to_a_better_champion_and_nothing_moves_it_but_its_gate() {
    let trained = Trained::new("retraining_loop");
    let sandbox = trained.sandbox();
    shift(&trained);
    gate(&trained, &["--auto", "--cooldown", "1s"]);
    let settings = trained.settings(&[("lightgbm", example("train_lightgbm.py"))]);
    trained.start("lightgbm", &["--gate", "better"]);
    let began = Instant::now();
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "training", "{request}");
    assert_eq!(
        request["reason"],
        "no trainer serves `lightgbm`; no trainer runs"
    );
    let status = sandbox.json(&["status"]).ok().json();
    assert_eq!(status["result"]["retrainings"][0]["state"], "training");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("no trainer serves `lightgbm`"),
        "{warnings}"
    );
    assert_eq!(trained.train(&settings).ok().result()["served"], 1);
    let training = trained.request()["training"].clone();
    assert_eq!(training["state"], "trained", "{training}");
    assert!(
        training["log"].as_str().unwrap().contains("trained on"),
        "{training}"
    );
    assert!(training["metrics"]["accuracy"].as_f64().unwrap() > 0.8);
    assert_eq!(trained.versions(), [1, 2, 3]);
    assert_eq!(
        (trained.alias("champion"), trained.alias("challenger")),
        (1, 1)
    );
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "passed", "{request}");
    assert_eq!(request["version"], 3);
    assert_eq!(trained.alias("challenger"), 3);
    // The gate acts by its own rule, within its own rounds.
    let until = Instant::now() + Duration::from_secs(60);
    while trained.alias("champion") != 3 {
        assert!(Instant::now() < until, "{}", trained.request());
        std::thread::sleep(Duration::from_millis(1_100));
        trained.worker();
    }
    println!("from the request to the champion: {:?}", began.elapsed());
    // What was evaluated are the rows that the trainer did not see.
    let rows = sandbox.rows("SELECT version, leakage, labelled, evaluated FROM {helenus}.evaluations WHERE model = 'tumour' AND version IN (1, 3) ALLOW FILTERING");
    let held_out = training["held_out_rows"].as_i64().unwrap();
    for row in &rows {
        assert_eq!(row["leakage"].as_text().unwrap(), "held_out");
        assert_eq!(row["labelled"].as_bigint(), Some(held_out), "{row:?}");
    }
    assert_eq!(rows.len(), 2);
    let version = sandbox.row("SELECT tags, registered_by FROM {helenus}.model_versions WHERE name = 'tumour' AND version = 3");
    let tags: Vec<String> = version["tags"]
        .as_map()
        .unwrap()
        .iter()
        .map(|(name, _)| name.as_text().unwrap().clone())
        .collect();
    assert_eq!(
        tags,
        [
            "helenus.command_sha256",
            "helenus.data_sha256",
            "helenus.held_out",
            "helenus.retraining"
        ]
    );
}

#[test]
fn scikit_learn_trains_too_and_without_a_gate_a_version_only_challenges() {
    let trained = Trained::new("retraining_sklearn");
    let settings = trained.settings(&[("logistic", example("train_sklearn.py"))]);
    trained.start(
        "logistic",
        &["--label-time", "known_at", "--window", "3650d"],
    );
    trained.worker();
    trained.train(&settings).ok();
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "evaluated", "{request}");
    assert_eq!(
        (trained.alias("champion"), trained.alias("challenger")),
        (1, 3)
    );
    let version = trained
        .sandbox()
        .row("SELECT tags FROM {helenus}.model_versions WHERE name = 'tumour' AND version = 3");
    let window = version["tags"]
        .as_map()
        .unwrap()
        .iter()
        .find_map(|(name, value)| {
            (name.as_text().unwrap() == "helenus.window").then(|| value.as_text().unwrap().clone())
        });
    assert_eq!(window.unwrap(), "2026-01-01T00:00:00Z/2026-01-01T00:00:00Z");
}

#[test]
fn the_trainer_gets_labelled_rows_and_never_the_labels_that_judge_it() {
    let trained = Trained::new("retraining_rows");
    let sandbox = trained.sandbox();
    sandbox.cql("DELETE FROM {data}.outcomes WHERE id = 7");
    sandbox.cql("UPDATE {data}.outcomes SET diagnosis = null WHERE id = 8");
    sandbox.cql("UPDATE {data}.outcomes SET known_at = '2099-01-01' WHERE id = 9");
    let kept = sandbox.directory().join("kept");
    let settings = trained.settings(&[(
        "copy",
        shell(&format!(
            "cp -r input {}; env > {}/env; exit 1",
            kept.display(),
            kept.display()
        )),
    )]);
    trained.start(
        "copy",
        &[
            "--held-out",
            "0.3",
            "--seed",
            "7",
            "--label-time",
            "known_at",
        ],
    );
    trained.worker();
    trained.train(&settings).ok();
    let script = "import sys, json, pyarrow.parquet as p\nfor name in ('train', 'held_out'):\n    t = p.read_table(f'{sys.argv[1]}/{name}.parquet')\n    print(json.dumps([t.column_names, t.column('id').to_pylist()]))";
    let mut command = std::process::Command::new(crate::support::required("HELENUS_TEST_EXAMPLES"));
    command.args(["-c", script]).arg(&kept);
    let read = crate::support::cli::run(command).ok();
    let files: Vec<Value> = read
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let columns = |file: &Value| file[0].as_array().unwrap().clone();
    assert!(columns(&files[0]).contains(&json!("label")));
    assert!(!columns(&files[1]).contains(&json!("label")));
    assert!(!columns(&files[1]).contains(&json!("label_time")));
    assert!(!columns(&files[0]).contains(&json!("diagnosis_truth")));
    let held_out = HeldOut {
        seed: 7,
        share: 0.3,
    };
    let mut all = 0;
    for (file, is_held) in files.iter().zip([false, true]) {
        for id in file[1].as_array().unwrap() {
            let id = i32::try_from(id.as_i64().unwrap()).unwrap();
            assert!(![7, 8, 9].contains(&id), "{id}");
            assert_eq!(
                held_out.contains(hash_of(&id.to_be_bytes())),
                is_held,
                "{id}"
            );
            all += 1;
        }
    }
    assert_eq!(all, trained.biopsies.rows - 3);
    let about: Value =
        serde_json::from_str(&fs::read_to_string(kept.join("training.json")).unwrap()).unwrap();
    assert_eq!(about["features"].as_array().unwrap().len(), 30);
    assert_eq!(about["positive"], "malignant");
    // Neither settings nor addresses of helenus reach the command.
    let environment = fs::read_to_string(kept.join("env")).unwrap();
    let names: Vec<&str> = environment
        .lines()
        .filter(|line| line.starts_with("HELENUS_"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_clock_alarms_and_new_labels_ask_for_one_training_each() {
    let trained = Trained::new("retraining_when");
    let sandbox = trained.sandbox();
    let labels = trained.labels();
    let count = |name: &str| {
        trained.worker();
        sandbox.rows(&format!("SELECT id FROM {{helenus}}.retraining_requests WHERE model = 'tumour' AND name = '{name}' AND id > minTimeuuid('1970-01-02')")).len()
    };
    let end = |name: &str| {
        sandbox.cql(&format!("UPDATE {{helenus}}.retraining_requests SET open = null WHERE model = 'tumour' AND name = '{name}'"));
    };
    let add = |name: &str, options: &[&str]| {
        let words = [
            "retraining",
            "add",
            "tumour",
            name,
            "--job",
            "tumour",
            "--trainer",
            "x",
            "--labels",
            &labels,
        ];
        sandbox.helenus(&[&words[..], options].concat()).ok();
    };
    // By the clock: a second in each minute that has passed.
    add("clock", &["--cron", "* * * * *"]);
    assert_eq!(count("clock"), 0);
    // As if the worker had last decided a minute earlier.
    let row = "model = 'tumour' AND name = 'clock'";
    let cursor = &sandbox.rows(&format!(
        "SELECT DISTINCT model, name, cursor FROM {{helenus}}.retraining_requests WHERE {row}"
    ))[0]["cursor"];
    let mut cursor: Value = serde_json::from_str(cursor.as_text().unwrap()).unwrap();
    cursor["ticks_until"] = json!(cursor["ticks_until"].as_i64().unwrap() - 61_000);
    sandbox.cql(&format!(
        "UPDATE {{helenus}}.retraining_requests SET cursor = '{cursor}' WHERE {row}"
    ));
    assert_eq!(count("clock"), 1);
    assert_eq!(count("clock"), 1);
    sandbox
        .helenus(&["retraining", "remove", "tumour", "clock"])
        .ok();
    // An alarm that two runs have shown.
    add("alarmed", &["--on-alarm", "run_failed"]);
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    let strict = sandbox.file(
        "strict.toml",
        fs::read_to_string(sandbox.directory().join("tumour.toml"))
            .unwrap()
            .replace("max_rejected = 5", "max_rejected = 0"),
    );
    sandbox
        .helenus(&["job", "create", strict.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "tumour"]).code(1);
    assert_eq!(count("alarmed"), 0);
    assert_eq!(count("alarmed"), 0);
    sandbox.helenus(&["score", "tumour"]).code(1);
    count("alarmed");
    assert_eq!(count("alarmed"), 1);
    end("alarmed");
    assert_eq!(count("alarmed"), 1);
    sandbox
        .helenus(&["retraining", "remove", "tumour", "alarmed"])
        .ok();
    sandbox.cql("DELETE FROM {data}.biopsies WHERE id = 9001");
    trained.biopsies.score();
    // More labelled rows than when it was added.
    let evaluate = || {
        sandbox
            .helenus(&[
                "evaluate",
                "tumour",
                "--versions",
                "champion",
                "--labels",
                &labels,
            ])
            .ok();
    };
    sandbox.cql("DELETE FROM {data}.outcomes WHERE id = 7");
    sandbox.cql("DELETE FROM {data}.outcomes WHERE id = 8");
    evaluate();
    add("labelled", &["--labelled-rows", "2"]);
    assert_eq!(count("labelled"), 0);
    sandbox.cql("INSERT INTO {data}.outcomes (id, diagnosis) VALUES (7, 'benign')");
    evaluate();
    assert_eq!(count("labelled"), 0);
    sandbox.cql("INSERT INTO {data}.outcomes (id, diagnosis) VALUES (8, 'benign')");
    evaluate();
    assert_eq!(count("labelled"), 1);
    end("labelled");
    assert_eq!(count("labelled"), 1);
}
