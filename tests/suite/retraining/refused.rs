//! Trainings that fail, and retrainings that could lead to nothing.

use super::*;

#[test]
fn what_goes_wrong_stands_in_the_row_and_makes_no_version() {
    let trained = Trained::new("retraining_wrong");
    let model = Model::named("breast_cancer_lgbm");
    let good = format!(
        "cp {} output/; cp {} output/; cp {} output/",
        model.path("model.onnx"),
        model.path("features.txt"),
        model.path("golden.csv")
    );
    let cases = [
        (
            "fails",
            shell("echo no such luck; exit 1"),
            "exit status: 1",
            "no such luck",
        ),
        (
            "hangs",
            format!("{}\ntime_limit = \"1s\"", shell("sleep 600 & wait")),
            "did not end within 1 s",
            "",
        ),
        (
            "eats",
            format!(
                "{}\nmemory_mib = 256",
                shell("exec python3 -c 'x = bytearray(1 << 30)'")
            ),
            "256 MiB",
            "MemoryError",
        ),
        ("nothing", shell("true"), "wrote no model.onnx", ""),
        (
            "no_golden",
            shell(&format!("{good}; rm output/golden.csv")),
            "wrote no golden.csv",
            "",
        ),
        (
            "odd_metrics",
            shell(&format!("{good}; echo '[1]' > output/metrics.json")),
            "metrics.json must be",
            "",
        ),
        (
            "missing",
            "command = [\"/no/such/program\"]".to_owned(),
            "could not be started",
            "",
        ),
    ];
    let sections: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, section, ..)| (*name, section.clone()))
        .collect();
    let settings = trained.settings(&sections);
    for (name, _, reason, log) in &cases {
        trained.start(name, &[]);
        trained.worker();
        let began = Instant::now();
        trained.train(&settings).ok();
        assert!(began.elapsed() < Duration::from_secs(30), "{name}");
        trained.worker();
        let request = trained.request();
        assert_eq!(request["state"], "failed", "{name}: {request}");
        let told = request["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{name}: {told}");
        let tail = request["training"]["log"].as_str().unwrap_or_default();
        assert!(tail.contains(log), "{name}: {tail}");
        assert_eq!(trained.versions(), [1, 2], "{name}");
        assert_eq!(trained.alias("challenger"), 1, "{name}");
    }
}

#[test]
fn garbage_is_refused_by_admission_and_a_worse_model_by_its_gate() {
    let trained = Trained::new("retraining_refused");
    gate(&trained, &["--auto", "--cooldown", "1s"]);
    let model = Model::named("breast_cancer_lr");
    let files = format!(
        "cp {} output/; cp {} output/; cp {} output/",
        model.path("model.onnx"),
        model.path("features.txt"),
        model.path("golden.csv")
    );
    let settings = trained.settings(&[
        ("garbage", shell(&format!("{files}; head -c 4096 /dev/urandom > output/model.onnx"))),
        // As the champion, but of features in another order.
        ("worse", shell(&format!("{files}; tac {} > output/features.txt; head -n 1 {} > output/golden.csv; echo '1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,benign,1,0' > /dev/null", model.path("features.txt"), model.path("golden.csv")))),
    ]);
    trained.start("garbage", &["--gate", "better"]);
    trained.worker();
    trained.train(&settings).ok();
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "failed", "{request}");
    assert!(
        request["reason"]
            .as_str()
            .unwrap()
            .contains("version 3 is rejected"),
        "{request}"
    );
    assert_eq!(
        (trained.alias("champion"), trained.alias("challenger")),
        (1, 1)
    );
    // The same model is no better: its gate does not pass.
    let same = trained.settings(&[("same", shell(&files))]);
    trained.start("same", &["--gate", "better"]);
    trained.worker();
    trained.train(&same).ok();
    trained.worker();
    let request = trained.request();
    assert_eq!(request["state"], "not_passed", "{request}");
    assert!(!request["reason"].as_str().unwrap().is_empty());
    trained.worker();
    assert_eq!(
        (trained.alias("champion"), trained.alias("challenger")),
        (1, 4)
    );
}

#[test]
fn what_could_lead_to_nothing_is_refused_before_anything_is_trained() {
    let trained = Trained::new("retraining_early");
    let sandbox = trained.sandbox();
    let problems = || {
        trained.worker();
        let shown = sandbox
            .json(&["retraining", "show", "tumour", "again"])
            .ok()
            .result();
        assert_eq!(shown["requests"], json!([]), "{shown}");
        shown["problems"].to_string()
    };
    let labels = trained.labels();
    let add = |options: &[&str]| {
        let words = [
            "retraining",
            "add",
            "tumour",
            "again",
            "--trainer",
            "x",
            "--labels",
            &labels,
        ];
        sandbox.json(&[&words[..], options].concat())
    };
    add(&["--job", "tumour", "--held-out", "1.5"]).code(2);
    add(&["--job", "tumour", "--cron", "soon"]).code(2);
    add(&["--job", "tumour", "--window", "5d"]).code(2);
    let start = || {
        sandbox
            .helenus(&["retraining", "start", "tumour", "again"])
            .ok()
    };
    add(&["--job", "nothing"]).ok();
    start();
    assert!(problems().contains("nothing"));
    add(&["--job", "tumour", "--gate", "better"]).ok();
    start();
    assert!(problems().contains("has no gate `better`"));
    sandbox.cql("INSERT INTO {helenus}.gates (model, name, metric, labels, min_labelled_rows) VALUES ('tumour', 'better', 'accuracy', 'a.b.c', 10)");
    assert!(problems().contains("labels a.b.c"));
    trained.biopsies.create("[\"champion\"]");
    add(&["--job", "tumour"]).ok();
    start();
    assert!(problems().contains("does not score `challenger`"));
    // A row by hand.
    sandbox.cql(
        "INSERT INTO {helenus}.retrainings (model, name, start) VALUES ('tumour', 'again', now())",
    );
    sandbox.cql("UPDATE {helenus}.retrainings SET labels = 'x', trainer = null, held_out = 2 WHERE model = 'tumour' AND name = 'again'");
    let told = problems();
    for what in ["not a column", "`trainer` is missing", "invalid share"] {
        assert!(told.contains(what), "{told}");
    }
    let unknown = sandbox
        .json(&["retraining", "show", "tumour", "other"])
        .code(5);
    assert_eq!(unknown.error()["code"], "retraining.unknown");
}

#[test]
fn labels_that_leak_and_too_few_rows_fail_with_their_reason() {
    let trained = Trained::new("retraining_leak");
    let sandbox = trained.sandbox();
    let settings = trained.settings(&[("never", shell("touch ran"))]);
    let leak = sandbox.filled("{data}.biopsies.mean_radius");
    for (options, reason) in [
        (
            vec!["--min-rows", "100000", "--max-rows", "200000"],
            "at least 100000 are needed",
        ),
        (
            vec!["--min-rows", "1", "--max-rows", "100"],
            "more than 100 training rows",
        ),
        (vec!["--labels", &leak], "is a feature of the job"),
    ] {
        let labels = trained.labels();
        let mut words = vec![
            "retraining",
            "add",
            "tumour",
            "again",
            "--job",
            "tumour",
            "--trainer",
            "never",
        ];
        if !options.contains(&"--labels") {
            words.extend(["--labels", &labels]);
        }
        sandbox.helenus(&[&words[..], &options].concat()).ok();
        sandbox
            .helenus(&["retraining", "start", "tumour", "again"])
            .ok();
        trained.worker();
        trained.train(&settings).ok();
        trained.worker();
        let request = trained.request();
        assert_eq!(request["state"], "failed", "{request}");
        assert!(
            request["reason"].as_str().unwrap().contains(reason),
            "{request}"
        );
        assert_eq!(request["training"]["log"], Value::Null);
    }
}

#[test]
fn a_trainer_needs_a_file_that_was_named_and_commands_in_it() {
    let trained = Trained::new("retraining_settings");
    let sandbox = trained.sandbox();
    sandbox.json(&["trainer", "--once"]).code(2);
    let run = |text: &str| {
        let file = sandbox.file("t.toml", text).display().to_string();
        sandbox.json(&["trainer", "--once", "--config", &file])
    };
    for (text, message) in [
        ("", "no section"),
        ("[trainers.a]\ncommand = []\n", "must not be empty"),
        (
            "[trainers.a]\ncommand = ['x']\ntime_limit = 'long'\n",
            "invalid duration",
        ),
        (
            "[trainers.a]\ncommand = ['x']\nshell = true\n",
            "unknown field",
        ),
        ("[trainers.'a b']\ncommand = ['x']\n", "a b"),
    ] {
        let error = run(text).code(2).error();
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
    }
    // Other commands take the same file.
    let file = sandbox
        .file("t.toml", "[trainers.a]\ncommand = ['x']\n")
        .display()
        .to_string();
    sandbox.helenus(&["status", "--config", &file]).ok();
    // A file of the working directory may not run commands.
    let here = sandbox.file("helenus.toml", "[trainers.a]\ncommand = ['x']\n");
    fs::set_permissions(&here, fs::Permissions::from_mode(0o644)).unwrap();
    let error = sandbox.json(&["trainer", "--once"]).code(2).error();
    assert_eq!(error["code"], "trainer.no_file");
}
