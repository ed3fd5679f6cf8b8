//! `helenus evaluate`: predictions against what came true, and nothing told that is not so.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Model, Sandbox, biopsies::Biopsies};

mod kinds;

fn labels(sandbox: &Sandbox, place: &str) -> String {
    format!("{}.{place}", sandbox.data)
}

fn evaluate(sandbox: &Sandbox, job: &str, options: &[&str]) -> Value {
    sandbox
        .json(&[&["evaluate", job], options].concat())
        .ok()
        .result()
}

fn refused(sandbox: &Sandbox, job: &str, options: &[&str]) -> String {
    let said = sandbox.json(&[&["evaluate", job], options].concat());
    said.code(2).error()["code"].as_str().unwrap().to_owned()
}

fn close(told: &Value, wanted: f64) {
    let told = told
        .as_f64()
        .unwrap_or_else(|| panic!("{told}, not {wanted}"));
    assert!((told - wanted).abs() < 1e-9, "{told}, not {wanted}");
}

/// Area under the curve by counting pairs, and what that may differ by.
fn pairs(rows: &[(bool, f64)]) -> f64 {
    let (mut won, mut all) = (0.0, 0.0);
    for (_, positive) in rows.iter().filter(|row| row.0) {
        for (_, negative) in rows.iter().filter(|row| !row.0) {
            all += 1.0;
            won += match positive.total_cmp(negative) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    won / all
}

/// id -> (version -> p_malignant, truth).
fn known(sandbox: &Sandbox) -> BTreeMap<i32, (BTreeMap<i32, f64>, bool)> {
    let mut rows: BTreeMap<i32, (BTreeMap<i32, f64>, bool)> = BTreeMap::new();
    for row in sandbox.rows("SELECT id, diagnosis_truth FROM {data}.biopsies") {
        let truth = row["diagnosis_truth"].as_text().unwrap() == "malignant";
        rows.insert(row["id"].as_int().unwrap(), (BTreeMap::new(), truth));
    }
    for row in sandbox.rows("SELECT id, model_version, p_malignant FROM {data}.tumour_predictions")
    {
        let version = row["model_version"].as_int().unwrap();
        let p = f64::from(row["p_malignant"].as_float().unwrap());
        let id = row["id"].as_int().unwrap();
        rows.get_mut(&id).unwrap().0.insert(version, p);
    }
    rows
}

#[test]
fn versions_are_judged_on_the_same_rows_and_the_result_is_rows() {
    let biopsies = Biopsies::scored("evaluate");
    let sandbox = &biopsies.sandbox;
    let truth = labels(sandbox, "biopsies.diagnosis_truth");
    sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
    let options = ["--versions", "champion,2", "--labels", &truth];
    let told = evaluate(sandbox, "tumour", &options);
    assert_eq!(told["evaluated"], biopsies.rows);
    assert_eq!(told["leakage"], "leakage_unchecked");
    assert_eq!(
        (&told["task"], &told["positive"]),
        (&"binary".into(), &"malignant".into())
    );
    let rows = known(sandbox);
    for (at, version) in [1, 2].into_iter().enumerate() {
        let scored: Vec<(bool, f64)> = rows
            .values()
            .map(|(p, truth)| (*truth, p[&version]))
            .collect();
        let metrics = &told["versions"][at]["metrics"];
        let right = scored
            .iter()
            .filter(|(truth, p)| (*p >= 0.5) == *truth)
            .count();
        close(&metrics["accuracy"], right as f64 / scored.len() as f64);
        let brier = scored
            .iter()
            .map(|(truth, p)| (f64::from(u8::from(*truth)) - p).powi(2));
        close(&metrics["brier"], brier.sum::<f64>() / scored.len() as f64);
        close(&metrics["roc_auc"], pairs(&scored));
        assert!(told["versions"][at]["bounds"].get("roc_auc").is_none());
    }
    let against = &told["versions"][1]["against"];
    let difference = |at: usize| {
        told["versions"][at]["metrics"]["accuracy"]
            .as_f64()
            .unwrap()
    };
    close(
        &against["differences"]["accuracy"],
        difference(1) - difference(0),
    );
    assert!(against["p_values"]["mcnemar"].as_f64().unwrap() < 1.0);
    assert!(told["versions"][0]["against"].is_null());

    let stored = sandbox.rows("SELECT version, evaluation, roc_auc, leakage, baseline, metrics, labels FROM {helenus}.evaluations");
    assert_eq!(stored.len(), 2);
    for row in &stored {
        let at = row["version"].as_int().unwrap() as usize - 1;
        let id = row["evaluation"].as_timeuuid().unwrap().to_string();
        assert_eq!(id, told["evaluation"]);
        let auc = row["roc_auc"].as_double().unwrap();
        close(&told["versions"][at]["metrics"]["roc_auc"], auc);
        assert_eq!(row["labels"].as_text().unwrap(), &truth);
    }
    let listed = sandbox.json(&["model", "list", "tumour"]).ok().result();
    assert_eq!(listed["versions"][0]["evaluated"]["metric"], "roc_auc");

    // Another day is another row; the newest is the first.
    let again = evaluate(sandbox, "tumour", &options);
    assert_ne!(again["evaluation"], told["evaluation"]);
    let newest = sandbox.row(
        "SELECT evaluation FROM {helenus}.evaluations WHERE model = 'tumour' AND version = 2 LIMIT 1",
    );
    let newest = newest["evaluation"].as_timeuuid().unwrap().to_string();
    assert_eq!(newest, again["evaluation"]);
    let text = sandbox
        .helenus(&[&["evaluate", "tumour"], &options[..]].concat())
        .ok();
    assert!(
        text.stdout.contains("version 2 against 1"),
        "{}",
        text.stdout
    );
    assert!(text.stderr.contains("leakage_unchecked"), "{}", text.stderr);
}

#[test]
fn what_does_not_count_is_counted_apart() {
    let biopsies = Biopsies::scored("evaluate_apart");
    let sandbox = &biopsies.sandbox;
    let cql = |statement: &str| sandbox.cql(statement);
    cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome int, known_at timestamp)");
    let rows = known(sandbox);
    for (id, (_, truth)) in rows.iter().take(100) {
        let truth = i32::from(*truth);
        cql(&format!(
            "INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, {truth}, '2099-01-01')"
        ));
    }
    cql("INSERT INTO {data}.outcomes (id, outcome, known_at) VALUES (9000, 1, '2099-01-01')");
    cql("UPDATE {data}.outcomes SET outcome = null WHERE id = 1");
    cql("UPDATE {data}.outcomes SET known_at = null WHERE id = 2");
    cql("UPDATE {data}.outcomes SET known_at = '2001-01-01' WHERE id = 3");
    cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 4");
    cql("DELETE FROM {data}.tumour_predictions WHERE id = 5 AND model_version = 2");
    cql(
        "UPDATE {data}.tumour_predictions SET p_malignant = NaN WHERE id = 6 AND model_version = 1",
    );
    cql("DELETE FROM {data}.biopsies WHERE id = 7");
    let place = labels(sandbox, "outcomes.outcome");
    let options = [
        "--versions",
        "1,2",
        "--labels",
        &place,
        "--label-time",
        "known_at",
        "--gap",
        "1d",
        "--label-map",
        "1=malignant",
        "--label-map",
        "0=benign",
        "--threshold",
        "0.7,0.5",
    ];
    let told = evaluate(sandbox, "tumour", &options);
    assert_eq!(told["leakage"], "checked");
    assert_eq!(
        (&told["labelled"], &told["untimed"]),
        (&98.into(), &1.into())
    );
    assert_eq!(told["stray_labels"], 2);
    assert_eq!(told["evaluated"], 93);
    let of = |at: usize, what: &str| told["versions"][at]["predictions"][what].clone();
    for (what, one, two) in [
        ("leaked", 1, 1),
        ("stale", 1, 1),
        ("missing", 0, 1),
        ("not_a_number", 1, 0),
        ("usable", 94, 94),
        ("orphaned", 1, 1),
    ] {
        assert_eq!(
            (of(0, what), of(1, what)),
            (one.into(), two.into()),
            "{what}"
        );
    }
    let scored: Vec<(bool, f64)> = (8..=100).map(|id| (rows[&id].1, rows[&id].0[&1])).collect();
    assert_eq!(scored.len(), 93);
    let right = scored
        .iter()
        .filter(|(truth, p)| (*p >= f64::from(0.7_f32)) == *truth)
        .count();
    let metrics = &told["versions"][0]["metrics"];
    close(&metrics["accuracy"], right as f64 / 93.0);
    close(&metrics["accuracy@0.7"], right as f64 / 93.0);
    assert!(metrics["accuracy@0.5"].is_number());

    // Too young to be told of; and rows without a label that mean something.
    let young = [&options[..], &["--mature-after", "1d"]].concat();
    assert_eq!(
        refused(sandbox, "tumour", &young),
        "evaluate.nothing_in_common"
    );
    let meant = [&options[..], &["--missing-label", "benign"]].concat();
    let told = evaluate(sandbox, "tumour", &meant);
    assert_eq!(told["labelled"], biopsies.rows - 1);
    cql("ALTER TABLE {data}.biopsies ADD site text");
    for id in 8..=60 {
        let site = ["north", "south"][id % 2];
        cql(&format!(
            "UPDATE {{data}}.biopsies SET site = '{site}' WHERE id = {id}"
        ));
    }
    let told = evaluate(
        sandbox,
        "tumour",
        &[&options[..], &["--segment", "site"]].concat(),
    );
    let segments = told["versions"][1]["segments"].as_object().unwrap();
    assert_eq!(
        segments.keys().collect::<Vec<_>>(),
        ["(null)", "north", "south"]
    );
    // A text that reads like nothing is not nothing.
    cql("UPDATE {data}.biopsies SET site = 'null' WHERE id = 8");
    cql("UPDATE {data}.biopsies SET site = '(null)' WHERE id = 9");
    let told = evaluate(
        sandbox,
        "tumour",
        &[&options[..], &["--segment", "site"]].concat(),
    );
    let by_name = told["versions"][0]["segments"].as_object().unwrap();
    let rows_of = |name: &str| by_name[name]["rows"].as_u64().unwrap();
    assert_eq!((rows_of("null"), rows_of("'(null)'")), (1, 1));
    assert_eq!(
        rows_of("(null)"),
        segments["(null)"]["rows"].as_u64().unwrap()
    );
    let page = sandbox.directory().join("segments.html");
    let html = ["--segment", "site", "--html", page.to_str().unwrap()];
    sandbox
        .json(&[&["evaluate", "tumour"], &options[..], &html].concat())
        .ok();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(">(null)<") && page.contains(">'(null)'<"));
    let compared = sandbox
        .json(&[
            "compare",
            "tumour",
            "--versions",
            "1,2",
            "--segment",
            "site",
        ])
        .ok();
    let stored =
        sandbox.row("SELECT segments FROM {helenus}.comparisons WHERE job = 'tumour' LIMIT 1");
    let stored = format!("{:?}", stored["segments"]);
    for name in ["\"(null)\"", "\"'(null)'\"", "\"null\""] {
        assert!(stored.contains(name), "{name}: {stored}");
    }
    let told = compared.result()["against"][0]["segments"].to_string();
    assert!(
        told.contains("\"segment\":null") && told.contains("\"segment\":\"(null)\""),
        "{told}"
    );
    let rows: u64 = segments.values().map(|s| s["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 93);
    let said = sandbox
        .json(
            &[
                &["evaluate", "tumour"],
                &options[..],
                &["--segment", "mean_radius"],
            ]
            .concat(),
        )
        .ok();
    assert!(said.stdout.contains("too_many_segments"), "{}", said.stdout);
    assert_eq!(
        said.result()["versions"][0]["segments"],
        serde_json::json!({})
    );
}

#[test]
fn questions_that_have_no_answer_are_refused() {
    let biopsies = Biopsies::scored("evaluate_refused");
    let sandbox = &biopsies.sandbox;
    let cql = |statement: &str| sandbox.cql(statement);
    cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, amount double)");
    cql("CREATE TABLE {data}.by_name (id text PRIMARY KEY, outcome text)");
    let feature = labels(sandbox, "biopsies.mean_radius");
    let outcome = labels(sandbox, "outcomes.outcome");
    let amount = labels(sandbox, "outcomes.amount");
    let by_name = labels(sandbox, "by_name.outcome");
    let truth = labels(sandbox, "biopsies.diagnosis_truth");
    let code = |options: &[&str]| refused(sandbox, "tumour", options);
    assert_eq!(
        code(&["--versions", "1", "--labels", &feature]),
        "labels.is_feature"
    );
    assert_eq!(
        code(&["--versions", "1", "--labels", &by_name]),
        "labels.key"
    );
    assert_eq!(
        code(&["--versions", "1", "--labels", &amount]),
        "labels.type"
    );
    assert_eq!(
        code(&["--versions", "1", "--labels", "outcome"]),
        "labels.name"
    );
    assert_eq!(
        code(&["--versions", "1", "--labels", &outcome]),
        "evaluate.nothing_in_common"
    );
    let unknown = [
        "--versions",
        "1",
        "--labels",
        &truth,
        "--positive",
        "malign",
    ];
    assert_eq!(code(&unknown), "evaluate.unknown_positive");
    let map = [
        "--versions",
        "1",
        "--labels",
        &truth,
        "--label-map",
        "malignant=bad",
    ];
    assert_eq!(code(&map), "labels.unknown_class");
    let gap = ["--versions", "1", "--labels", &truth, "--gap", "1d"];
    assert_eq!(code(&gap), "labels.gap");
    cql("INSERT INTO {data}.outcomes (id, outcome) VALUES (1, 'malign')");
    assert_eq!(
        code(&["--versions", "1", "--labels", &outcome]),
        "labels.unexpected"
    );
    // The same question, once the label is mended: what was found before does not stick.
    cql("INSERT INTO {data}.outcomes (id, outcome) VALUES (1, 'malignant')");
    let told = evaluate(
        sandbox,
        "tumour",
        &["--versions", "1", "--labels", &outcome],
    );
    assert_eq!(told["evaluated"], 1);
    let version = &told["versions"][0];
    assert_eq!(version["absent"]["roc_auc"], "all labels are of one class");
    assert!(version["metrics"].get("roc_auc").is_none());
    assert!(version["metrics"]["log_loss"].is_number());
    assert!(
        version["low"].get("log_loss").is_none(),
        "one group tells no interval"
    );
    let push = Model::named("breast_cancer_lr").push_arguments("tumour");
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    assert_eq!(
        code(&["--versions", "3", "--labels", &truth]),
        "evaluate.never_scored"
    );
    let stored = sandbox.rows("SELECT version FROM {helenus}.evaluations");
    assert_eq!(stored.len(), 1);
}

/// Scores a model's rows with a job named as the model.
fn scored(sandbox: &Sandbox, model: &str) -> usize {
    let model = Model::named(model);
    let rows = model.load(sandbox);
    let push = model.push_arguments("m");
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let manifest = model.manifest(sandbox, "j", "m");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "j"]).ok();
    rows
}

fn text(value: &scylla::value::CqlValue) -> String {
    match value {
        scylla::value::CqlValue::BigInt(number) => number.to_string(),
        other => other.as_text().unwrap().clone(),
    }
}
