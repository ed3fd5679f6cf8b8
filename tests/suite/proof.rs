//! What stands, proved: `verify` over whole tables, `explain` on one entity, `status` on a screen.

use serde_json::{Value, json};

use crate::support::{Model, Sandbox, biopsies::Biopsies};

/// What `verify` counted for a version, all kinds.
fn found(verified: &Value, version: &str) -> Value {
    let version = &verified["versions"][version];
    json!([
        version["matching"],
        version["stale"],
        version["differing"],
        version["rejected"],
        version["no_longer_rejected"],
    ])
}

#[test]
fn a_fresh_table_matches_whole_and_in_samples() {
    let biopsies = Biopsies::scored("fresh");
    let rows = biopsies.rows;
    let whole = biopsies.verify(&["--coverage"], 0);
    assert_eq!(whole["source_rows"], rows);
    assert_eq!(found(&whole, "1"), json!([rows, 0, 0, 0, 0]));
    assert_eq!(found(&whole, "2"), json!([rows, 0, 0, 0, 0]));
    for version in ["1", "2"] {
        let coverage = &whole["coverage"]["versions"][version];
        assert_eq!(*coverage, json!({"missing": 0, "orphaned": 0}));
    }
    let sample = biopsies.verify(&["--sample", "100", "--version", "2"], 0);
    assert_eq!(sample["source_rows"], 100);
    assert_eq!(found(&sample, "2"), json!([100, 0, 0, 0, 0]));
    assert!(sample["versions"].get("1").is_none(), "{sample}");
    assert_eq!(sample["coverage"], Value::Null);
    let all = biopsies.verify(&["--sample", "100000", "--coverage"], 0);
    assert_eq!(all["source_rows"], rows);
    assert_eq!(all["coverage"]["source_rows"], rows);
    assert_eq!(found(&all, "1"), json!([rows, 0, 0, 0, 0]));
}

#[test]
fn whatever_was_altered_is_told_apart() {
    let biopsies = Biopsies::scored("altered");
    let (rows, cql) = (biopsies.rows, |statement: &str| {
        biopsies.sandbox.cql(statement)
    });
    // A prediction altered by hand, one deleted, one whose row is gone, one whose row has changed.
    cql(
        "UPDATE {data}.tumour_predictions SET p_malignant = 0.123 WHERE id = 1 AND model_version = 1",
    );
    cql("DELETE FROM {data}.tumour_predictions WHERE id = 2 AND model_version = 2");
    cql("DELETE FROM {data}.biopsies WHERE id = 3");
    cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 4");
    // A label alone, and a prediction without proof.
    cql("UPDATE {data}.tumour_predictions SET label = 'benign' WHERE id = 1 AND model_version = 2");
    cql("DELETE lineage FROM {data}.tumour_predictions WHERE id = 5 AND model_version = 2");
    let verified = biopsies.verify(&["--coverage"], 1);
    // Of one row less: what stood for it is orphaned.
    assert_eq!(found(&verified, "1"), json!([rows - 3, 1, 1, 0, 0]));
    assert_eq!(found(&verified, "2"), json!([rows - 5, 1, 2, 0, 0]));
    let coverage = &verified["coverage"];
    assert_eq!(
        coverage["versions"]["1"],
        json!({"missing": 0, "orphaned": 1})
    );
    assert_eq!(
        coverage["versions"]["2"],
        json!({"missing": 1, "orphaned": 1})
    );
    assert_eq!(
        coverage["missing"],
        json!([{"key": {"id": "2"}, "version": 2}])
    );
    assert_eq!(coverage["orphaned"].as_array().unwrap().len(), 2);
    let mut differences = verified["differences"].as_array().unwrap().clone();
    differences.sort_by_key(|difference| difference["column"].as_str().unwrap().to_owned());
    let what: Vec<_> = differences
        .iter()
        .map(|one| {
            (
                one["key"]["id"].as_str().unwrap(),
                one["column"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        what,
        [("1", "label"), ("5", "lineage"), ("1", "p_malignant")]
    );
    assert_eq!(differences[0]["stored"], "benign");
    assert_eq!(differences[0]["recomputed"], "malignant");
    assert_eq!(differences[2]["stored"], 0.123);
    assert!(
        differences[2]["recomputed"].as_f64().unwrap() > 0.99,
        "{differences:?}"
    );
    // Without --coverage what is missing is nobody's question.
    biopsies
        .sandbox
        .cql("DELETE FROM {data}.tumour_predictions WHERE id = 1");
    biopsies.verify(&["--version", "1"], 0);
    let text = biopsies
        .sandbox
        .helenus(&["verify", "tumour", "--coverage"])
        .code(1);
    assert!(text.stdout.contains("without a prediction"), "{text:?}");
    assert!(text.stderr.contains("helenus score tumour"), "{text:?}");
    // The next run heals all but what it takes for unchanged.
    biopsies.score();
    let healed = biopsies.verify(&["--coverage"], 0);
    assert_eq!(found(&healed, "2"), json!([rows - 1, 0, 0, 0, 0]));
}

#[test]
fn a_rejected_row_stands_as_such_until_it_is_scored() {
    let biopsies = Biopsies::scored("rejected");
    let rows = biopsies.rows;
    biopsies
        .sandbox
        .cql("DELETE mean_radius FROM {data}.biopsies WHERE id = 7");
    assert_eq!(
        found(&biopsies.verify(&[], 0), "1"),
        json!([rows - 1, 1, 0, 0, 0])
    );
    biopsies.score();
    assert_eq!(
        found(&biopsies.verify(&[], 0), "1"),
        json!([rows - 1, 0, 0, 1, 0])
    );
    let explained = biopsies.explain("7");
    let version = &explained["versions"]["1"];
    assert_eq!(version["verdict"], "rejected");
    let reason = version["stored"]["lineage"]["rejected"].as_str().unwrap();
    assert!(reason.contains("mean radius"), "{reason}");
    assert_eq!(version["recomputed"]["rejected"], reason);
    let fed = &version["fed"][0];
    assert_eq!(fed["feature"], "mean radius");
    assert_eq!(
        (&fed["value"], &fed["stored"]),
        (&Value::Null, &Value::Null)
    );
    // Outputs beside a rejection were written by somebody else.
    biopsies.sandbox.cql(
        "UPDATE {data}.tumour_predictions SET p_malignant = 0.5 WHERE id = 7 AND model_version = 1",
    );
    let verified = biopsies.verify(&[], 1);
    assert_eq!(found(&verified, "1"), json!([rows - 1, 0, 1, 0, 0]));
    assert_eq!(verified["differences"][0]["recomputed"], Value::Null);
}

#[test]
fn an_entity_is_explained_from_its_cells_to_its_lineage() {
    let biopsies = Biopsies::scored("explained");
    let sandbox = &biopsies.sandbox;
    let explained = biopsies.explain("42");
    let stands =
        sandbox.row("SELECT * FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 2");
    let version = &explained["versions"]["2"];
    assert_eq!(version["verdict"], "matching");
    assert_eq!(version["fed"].as_array().unwrap().len(), 30);
    assert_eq!(version["fed"][0]["column"], "mean_radius");
    let radius = &explained["source"]["mean_radius"];
    assert_eq!(radius["type"], "float");
    assert_eq!(version["fed"][0]["value"], radius["value"]);
    let label = stands["label"].as_text().unwrap();
    assert_eq!(version["stored"]["outputs"]["label"], label.as_str());
    assert_eq!(version["recomputed"]["outputs"]["label"], label.as_str());
    let lineage = &version["stored"]["lineage"];
    assert_eq!(lineage["model_sha256"], version["model_sha256"]);
    assert_eq!(lineage["input_hash"], version["input_hash"]);
    assert_eq!(lineage["source_hash"], version["source_hash"]);
    assert_eq!(version["stored"]["run"]["run_id"], lineage["run_id"]);
    assert_eq!(version["stored"]["run"]["state"], "succeeded");
    // A change shows as what it is, for the versions that read it.
    sandbox.cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 42");
    let changed = biopsies.explain("id=42");
    assert_eq!(changed["versions"]["1"]["verdict"], "stale");
    assert_eq!(changed["versions"]["1"]["fed"][0]["value"], 11.5);
    let text = sandbox.helenus(&["explain", "tumour", "42"]).ok().stdout;
    for said in [
        "stale, the row has changed",
        "mean_radius",
        "11.5",
        "X[0]",
        "RECOMPUTED",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 160),
        "{text}"
    );
    // What has no source row any more is still explained, as far as it goes.
    sandbox.cql("DELETE FROM {data}.biopsies WHERE id = 42");
    let orphaned = biopsies.explain("42");
    assert_eq!(orphaned["source"], Value::Null);
    assert_eq!(orphaned["versions"]["1"]["verdict"], Value::Null);
    assert_eq!(
        orphaned["versions"]["1"]["stored"]["lineage"]["run_id"],
        lineage["run_id"]
    );
    let nothing = sandbox.json(&["explain", "tumour", "100000"]).code(5);
    assert_eq!(nothing.error()["code"], "explain.no_row");
    sandbox.json(&["explain", "tumour", "forty-two"]).code(2);
    sandbox.json(&["explain", "nothing", "42"]).code(5);
}

#[test]
fn aliases_are_told_as_they_are_and_as_they_were_and_older_versions_by_their_own_run() {
    let biopsies = Biopsies::scored("aliases");
    let sandbox = &biopsies.sandbox;
    let promote = |version: &str| {
        sandbox
            .helenus(&["model", "promote", "tumour", version, "--now"])
            .ok();
    };
    promote("1");
    biopsies.create("[\"champion\"]");
    // The same mapping: nothing is pending, so the runs before the promotion stand.
    sandbox.helenus(&["score", "tumour", "--scope", "all"]).ok();
    promote("2");
    biopsies.score();
    let explained = biopsies.explain("42");
    let first = &explained["versions"]["1"];
    assert_eq!(first["aliases"], json!(["previous"]));
    assert_eq!(first["stored"]["aliases_then"], json!(["champion"]));
    assert_eq!(first["verdict"], "matching", "{first}");
    let second = &explained["versions"]["2"];
    assert_eq!(second["aliases"], json!(["champion"]));
    assert_eq!(second["stored"]["aliases_then"], json!([]));
    let verified = biopsies.verify(&[], 0);
    assert_eq!(verified["versions"]["2"]["aliases"], json!(["champion"]));
}

#[test]
fn keys_of_several_columns_and_casts_of_every_kind_are_explained() {
    let sandbox = Sandbox::shared("composite");
    let model = Model::named("diabetes_columns");
    model.load(&sandbox);
    let (registered, job) = (sandbox.name("m"), sandbox.name("job"));
    let push = model.push_arguments(&registered);
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let manifest = model.manifest(&sandbox, &job, &registered);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", &job]).ok();
    sandbox.cql(
        "INSERT INTO {data}.patients (clinic, patient, visit, age, bmi, bp, s5, sex, city) VALUES ('a=b c', 7, 1, 44, null, 98.50, 4.5, ' female ', null)",
    );
    let key = ["clinic=a=b c", "visit=1", "patient=7"];
    let explained = sandbox
        .json(&[&["explain", &job], &key[..]].concat())
        .ok()
        .result();
    assert_eq!(
        explained["key"],
        json!({"clinic": "a=b c", "patient": 7, "visit": 1})
    );
    let version = &explained["versions"]["1"];
    assert_eq!(
        (&version["stored"], &version["verdict"]),
        (&Value::Null, &Value::Null)
    );
    let value = |feature: &str| {
        let fed = version["fed"].as_array().unwrap().iter();
        let mut of = fed.filter(|one| one["feature"] == feature);
        of.next().unwrap()["value"].clone()
    };
    assert_eq!(value("bmi"), "NaN");
    assert_eq!(value("bp"), 98.5);
    assert_eq!(value("sex"), "female");
    assert_eq!(value("city"), "?");
    assert_eq!(
        explained["source"]["bp"],
        json!({"type": "decimal", "value": "98.50"})
    );
    assert!(version["recomputed"]["outputs"].is_object(), "{version}");
    let missing = sandbox
        .json(&["explain", &job, "clinic=a", "visit=1"])
        .code(2);
    assert!(
        missing.error()["message"]
            .as_str()
            .unwrap()
            .contains("patient")
    );
    sandbox.json(&["explain", &job, "7"]).code(2);
    // The row was never scored.
    let verified = sandbox.json(&["verify", &job, "--coverage"]).code(1);
    let coverage = &verified.result()["coverage"];
    assert_eq!(coverage["missing"][0]["key"]["clinic"], "a=b c");
}

/// Vectors, halves, texts, NaN outputs, fixed batches: what was written is what comes out again.
#[test]
fn predictions_of_every_kind_of_model_match_what_is_scored_again() {
    for name in [
        "types_mixed",
        "digits_vector",
        "forty_classes",
        "iris_mlp_batch1",
        "wine_svc",
    ] {
        let sandbox = Sandbox::shared("kinds");
        let model = Model::named(name);
        let rows = model.load(&sandbox);
        let (registered, job) = (sandbox.name("m"), sandbox.name("job"));
        let push = model.push_arguments(&registered);
        sandbox
            .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
        let manifest = model.manifest(&sandbox, &job, &registered);
        sandbox
            .helenus(&["job", "create", manifest.to_str().unwrap()])
            .ok();
        let scored = sandbox.json(&["score", &job]).ok().result();
        let verified = sandbox.json(&["verify", &job, "--coverage"]).ok().result();
        let version = &verified["versions"]["1"];
        assert_eq!(version["seen"], rows, "{name}: {verified}");
        assert_eq!(
            version["rejected"], scored["rejected"]["1"],
            "{name}: {verified}"
        );
        assert_eq!(
            version["matching"], scored["scored"]["1"],
            "{name}: {verified}"
        );
    }
}

#[test]
fn status_tells_what_there_is_and_what_is_worth_a_look() {
    let biopsies = Biopsies::scored("status");
    let sandbox = &biopsies.sandbox;
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    let status = sandbox.json(&["status"]).ok();
    let told = status.result();
    assert_eq!(told["models"][0]["name"], "tumour");
    assert_eq!(told["models"][0]["aliases"], json!({"champion": 2}));
    assert_eq!(told["models"][0]["versions"][0]["state"], "ready");
    let job = &told["jobs"][0];
    assert_eq!(
        (&job["state"], &job["revision"]),
        (&json!("ready"), &json!(1))
    );
    assert_eq!(job["last_run"]["state"], "succeeded");
    assert_eq!(job["open_runs"], json!([]));
    assert_eq!(told["waiting"], json!([]));
    assert_eq!(status.json()["warnings"], json!([]));
    // A run that nobody works on, a request that nobody answers, a version altered by hand.
    let slow = sandbox.start(&[
        "score",
        "tumour",
        "--scope",
        "all",
        "--version",
        "1",
        "--max-rate",
        "100",
    ]);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let told = sandbox.json(&["status"]).ok().result();
        let open = &told["jobs"][0]["open_runs"];
        if open[0]["splits_held"].as_u64().unwrap_or(0) > 0 {
            assert_eq!(open[0]["run"]["state"], "running");
            break;
        }
        assert!(std::time::Instant::now() < until, "{told}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    slow.kill();
    sandbox.cql(
        "INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'tumour')",
    );
    sandbox.cql(
        "UPDATE {helenus}.model_versions SET note = 'x' WHERE name = 'tumour' AND version = 2",
    );
    let status = sandbox.json(&["status"]).ok();
    let told = status.result();
    assert_eq!(told["jobs"][0]["open_runs"][0]["splits_held"], 0);
    assert_eq!(told["waiting"][0]["table"], "run_requests");
    assert_eq!(told["waiting"][0]["about"], "tumour");
    assert_eq!(told["models"][0]["versions"][0]["state"], "tampered");
    let warnings = status.json()["warnings"].to_string();
    for said in ["no worker is working on run", "is not what was admitted"] {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
    let text = sandbox.helenus(&["status"]).ok();
    for said in ["2 tampered (champion)", "OPEN RUN", "REQUEST"] {
        assert!(text.stdout.contains(said), "{said}: {text:?}");
    }
}
