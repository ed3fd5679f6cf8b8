//! Gates: nothing moves without evidence, an approval, and a second look by the worker.

use crate::support::{Sandbox, biopsies::Biopsies};

/// Labels known long after every prediction: version 2's opinion, so that it is right and version 1
/// is not where they differ.
fn outcomes(sandbox: &Sandbox) {
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
        if row["model_version"].as_int() == Some(2) {
            let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
            sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
        }
    }
}

#[test]
fn a_challenger_that_passes_waits_for_an_approval_that_the_history_names() {
    let biopsies = Biopsies::scored("gates");
    let sandbox = &biopsies.sandbox;
    outcomes(sandbox);
    sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
    let labels = format!("{}.outcomes.outcome", sandbox.data);
    let add = [
        "gate",
        "add",
        "tumour",
        "better",
        "--metric",
        "accuracy",
        "--labels",
        &labels,
        "--min-labelled-rows",
        "500",
    ];
    let told = sandbox.json(&add).ok().result();
    assert_eq!(told["says"], "unchallenged");
    let promote = ["model", "promote", "tumour", "2", "--alias", "challenger"];
    sandbox.helenus(&promote).ok();
    let show = || sandbox.json(&["gate", "show", "tumour", "better"]);
    assert_eq!(show().code(1).result()["says"], "unevaluated");
    let approve = || sandbox.json(&["gate", "approve", "tumour", "better", "--why", "agreed"]);
    assert_eq!(approve().code(4).error()["code"], "gate.unevaluated");

    // Leaky evidence does not count, by whichever way it is approved.
    let leaky = ["--versions", "champion,challenger", "--labels", &labels];
    let evaluate = |options: &[&str]| {
        let told = sandbox.json(&[&["evaluate", "tumour"], options].concat());
        told.ok().result()["evaluation"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let evaluation = evaluate(&leaky);
    let told = show().code(1).result();
    let reasons = told["evidence"]["reasons"].to_string();
    assert!(reasons.contains("leakage_unchecked"), "{reasons}");
    assert_eq!(approve().code(4).error()["code"], "gate.fails");
    let by_hand = |evaluation: &str| {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version, gate, evaluation) VALUES (toDate(now()), now(), 'promote', 'tumour', 'champion', 2, 'better', {evaluation})"));
        sandbox.helenus(&["worker", "--once"]).ok();
    };
    by_hand(&evaluation);
    let champion = || {
        let row = sandbox.row("SELECT version, evidence FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion' LIMIT 1");
        let evidence = row.get("evidence").and_then(|text| text.as_text().cloned());
        (
            row["version"].as_int().unwrap(),
            evidence.unwrap_or_default(),
        )
    };
    assert_eq!(champion().0, 1);
    let answers = sandbox.rows("SELECT answer, reason FROM {helenus}.answers");
    let refused = answers
        .iter()
        .find(|row| row["answer"].as_text().unwrap() == "refused");
    let reason = refused.unwrap()["reason"].as_text().unwrap();
    assert!(reason.contains("leakage_unchecked"), "{reason}");

    // Evidence that counts: the worker says so, and nothing moves.
    let checked = [&leaky[..], &["--label-time", "known_at"]].concat();
    let evaluation = evaluate(&checked);
    sandbox.helenus(&["worker", "--once"]).ok();
    let verdict = sandbox.row("SELECT evaluation, verdict, version, baseline, low FROM {helenus}.gate_verdicts WHERE model = 'tumour' AND gate = 'better' LIMIT 1");
    assert_eq!(verdict["verdict"].as_text().unwrap(), "passes");
    assert_eq!(
        verdict["evaluation"].as_timeuuid().unwrap().to_string(),
        evaluation
    );
    assert_eq!(champion().0, 1);
    let told = show().ok().result();
    let low = told["evidence"]["low"].as_f64().unwrap();
    assert!(low > 0.0 && low < told["evidence"]["improvement"].as_f64().unwrap());

    // The same evidence is not enough where an experiment must have shown it, too.
    let tried = [
        "gate",
        "add",
        "tumour",
        "tried",
        "--experiment",
        "tumour/sharper",
    ];
    sandbox.helenus(&[&tried[..], &add[4..]].concat()).ok();
    let show_tried = || sandbox.json(&["gate", "show", "tumour", "tried"]);
    let says = |what: &str| {
        let told = show_tried().code(1).result();
        let reasons = told["evidence"]["reasons"].to_string();
        assert!(reasons.contains(what), "{reasons}");
    };
    says("experiment `sharper` of job `tumour` has no verdict on version 2");
    sandbox.cql("INSERT INTO {helenus}.experiment_status (job, name, revision, state, model, arms) VALUES ('tumour', 'sharper', 1, 'running', 'tumour', {'control': 1, 'sharper': 2})");
    let look = |verdict: &str| {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.experiment_results (job, name, look, revision, looked_at, is_final, verdict, verdicts) VALUES ('tumour', 'sharper', now(), 1, toTimestamp(now()), false, '{verdict}', {{'sharper': '{verdict}'}})"));
    };
    look("srm");
    says("says srm of version 2; better is required");
    look("better");
    assert_eq!(show_tried().ok().result()["says"], "passes");

    let told = approve().ok().result();
    assert_eq!(
        (&told["alias"], &told["version"]),
        (&"champion".into(), &2.into())
    );
    let (version, evidence) = champion();
    assert_eq!(version, 2);
    assert!(
        evidence.contains(&evaluation) && evidence.contains("gate better"),
        "{evidence}"
    );

    // What was shown against version 1 shows nothing now.
    assert_eq!(approve().code(4).error()["code"], "gate.fails");
    sandbox.helenus(&["model", "rollback", "tumour"]).ok();
    sandbox.cql(
        "UPDATE {helenus}.gates SET removed = true WHERE model = 'tumour' AND name = 'better'",
    );
    by_hand(&evaluation);
    assert_eq!(champion().0, 1);
    assert_eq!(approve().code(5).error()["code"], "gate.unknown");
}

#[test]
fn a_gate_that_makes_no_sense_is_refused_with_all_that_is_wrong() {
    let sandbox = Sandbox::migrated("gates_refused");
    let said = sandbox.json(&[
        "gate",
        "add",
        "tumour",
        "better",
        "--metric",
        "accuracy",
        "--labels",
        "outcomes",
        "--min-labelled-rows",
        "0",
        "--confidence",
        "95",
    ]);
    let error = said.code(2).error();
    assert_eq!(error["code"], "gate.invalid");
    assert_eq!(error["others"].as_array().unwrap().len(), 2);
    assert!(sandbox.rows("SELECT name FROM {helenus}.gates").is_empty());
}

#[test]
fn a_metric_with_a_sign_is_better_neither_higher_nor_lower() {
    let sandbox = Sandbox::migrated("gates_signed");
    let add = [
        "gate",
        "add",
        "tumour",
        "bias",
        "--metric",
        "mean_error",
        "--labels",
        "a.b.c",
        "--min-labelled-rows",
        "100",
    ];
    let error = sandbox.json(&add).code(2).error();
    assert_eq!(
        (&error["code"], &error["where"]),
        (&"gate.invalid".into(), &"metric".into())
    );
    assert!(error["help"].as_str().unwrap().contains("mae"), "{error}");
    assert!(sandbox.rows("SELECT name FROM {helenus}.gates").is_empty());
    // By a row, too: it gets no verdict, and whoever looks is told why.
    sandbox.cql("INSERT INTO {helenus}.gates (model, name, metric, labels, min_labelled_rows) VALUES ('tumour', 'bias', 'mean_error', 'a.b.c', 100)");
    sandbox.helenus(&["worker", "--once"]).ok();
    assert!(
        sandbox
            .rows("SELECT * FROM {helenus}.gate_verdicts")
            .is_empty()
    );
    let error = sandbox
        .json(&["gate", "show", "tumour", "bias"])
        .code(2)
        .error();
    assert_eq!(error["code"], "gate.invalid");
}
