//! Evaluations asked for by rows: the command's result, once, whoever dies or does it twice.

use std::time::{Duration, Instant};

use crate::support::{Sandbox, biopsies::Biopsies};

/// Asks, and gives the request's id.
fn ask(sandbox: &Sandbox, columns: &str, values: &str) -> String {
    let id = helenus::process::timeuuid().to_string();
    sandbox.cql(&format!("INSERT INTO {{helenus}}.run_requests (day, id, action, job{columns}) VALUES (toDate(now()), {id}, 'evaluate', 'tumour'{values})"));
    id
}

fn answer(sandbox: &Sandbox, id: &str) -> (String, String) {
    let day = chrono::Utc::now().date_naive();
    let row = sandbox.row(&format!(
        "SELECT answer, reason FROM {{helenus}}.answers WHERE day = '{day}' AND id = {id}"
    ));
    let text = |name: &str| {
        let text = row.get(name).and_then(|text| text.as_text().cloned());
        text.unwrap_or_default()
    };
    (text("answer"), text("reason"))
}

/// (version, evaluation, baseline, accuracy) of all rows.
fn evaluations(sandbox: &Sandbox) -> Vec<(i32, String, Option<i32>, f64)> {
    let rows =
        sandbox.rows("SELECT version, evaluation, baseline, accuracy FROM {helenus}.evaluations");
    rows.iter()
        .map(|row| {
            (
                row["version"].as_int().unwrap(),
                row["evaluation"].as_timeuuid().unwrap().to_string(),
                row.get("baseline").and_then(|baseline| baseline.as_int()),
                row["accuracy"].as_double().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_row_asks_for_an_evaluation_and_gets_what_the_command_tells() {
    let biopsies = Biopsies::scored("evaluate_asked");
    let sandbox = &biopsies.sandbox;
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    let truth = sandbox.filled("{data}.biopsies.diagnosis_truth");
    let all = ask(
        sandbox,
        ", requested_by, options",
        &format!(", 'ada', {{'labels': '{truth}', 'threshold': '0.4, 0.5'}}"),
    );
    let refused = [
        (
            format!("{{'labels': '{truth}', 'colour': 'red'}}"),
            "colour",
        ),
        ("{'positive': 'malignant'}".to_owned(), "labels"),
        (format!("{{'labels': '{truth}', 'gap': 'soon'}}"), "soon"),
        (format!("{{'labels': '{truth}', 'threshold': 'x'}}"), "`x`"),
        (format!("{{'labels': '{truth}', 'label_map': 'x'}}"), "`x`"),
        ("{'labels': 'truth'}".to_owned(), "`truth`"),
        (
            format!("{{'labels': '{truth}', 'versions': '1,best'}}"),
            "best",
        ),
    ]
    .map(|(options, about)| (ask(sandbox, ", options", &format!(", {options}")), about));
    sandbox.json(&["worker", "--once"]).ok();
    for (id, about) in refused {
        let (answer, reason) = answer(sandbox, &id);
        assert_eq!(answer, "refused");
        assert!(reason.contains(about), "{reason}");
    }
    let (said, reason) = answer(sandbox, &all);
    assert_eq!(said, "done");
    assert!(reason.contains(&all), "{reason}");
    let stored = evaluations(sandbox);
    assert_eq!(stored.len(), 2, "{stored:?}");
    let told = sandbox.json(&[
        "evaluate",
        "tumour",
        "--versions",
        "champion,1",
        "--labels",
        &truth,
        "--threshold",
        "0.4,0.5",
    ]);
    let told = told.ok().result();
    for (at, version) in [2, 1].into_iter().enumerate() {
        let row = stored.iter().find(|row| row.0 == version).unwrap();
        // The champion is the baseline.
        assert_eq!(
            (row.1.as_str(), row.2),
            (all.as_str(), (at == 1).then_some(2))
        );
        let told = told["versions"][at]["metrics"]["accuracy"]
            .as_f64()
            .unwrap();
        assert!((told - row.3).abs() < 1e-12, "{told}, {}", row.3);
    }
    let by = sandbox.rows(&format!("SELECT requested_by, options FROM {{helenus}}.evaluations WHERE model = 'tumour' AND version = 1 AND evaluation = {all}"));
    assert_eq!(by[0]["requested_by"].as_text().unwrap(), "ada");
}

#[test]
fn two_workers_and_a_killed_one_make_one_evaluation() {
    let biopsies = Biopsies::scored("evaluate_killed");
    let sandbox = &biopsies.sandbox;
    let truth = sandbox.filled("{data}.biopsies.diagnosis_truth");
    let id = ask(
        sandbox,
        ", versions, options, max_rows_per_s",
        &format!(", {{1, 2}}, {{'labels': '{truth}'}}, 150"),
    );
    let killed = sandbox.start(&["worker", "--once"]);
    let until = Instant::now() + Duration::from_secs(60);
    let parts = || {
        sandbox
            .rows("SELECT pass_id FROM {helenus}.pass_parts")
            .len()
    };
    while parts() < 3 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill();
    let begun = sandbox.row("SELECT pass_id FROM {helenus}.passes WHERE job = 'tumour'");
    let begun = begun["pass_id"].as_timeuuid().unwrap();
    assert!(evaluations(sandbox).is_empty());
    let two = [0, 1].map(|_| sandbox.start(&["worker", "--once"]));
    // What was found before is not looked for again.
    assert!(parts() >= 3);
    let passes = sandbox.rows("SELECT pass_id FROM {helenus}.passes WHERE job = 'tumour'");
    assert_eq!(passes.len(), 1);
    assert_eq!(passes[0]["pass_id"].as_timeuuid().unwrap(), begun);
    for worker in two {
        worker.finish().ok();
    }
    assert_eq!(answer(sandbox, &id).0, "done");
    let stands = evaluations(sandbox);
    let versions: Vec<_> = stands.iter().map(|row| (row.0, row.1.as_str())).collect();
    assert_eq!(versions.len(), 2);
    assert!(versions.contains(&(1, &id)) && versions.contains(&(2, &id)));
    // What an earlier process had read is as old as the pass: whoever reads the result is told.
    let rows = sandbox.rows("SELECT warnings FROM {helenus}.evaluations");
    let resumed = rows
        .iter()
        .any(|row| format!("{:?}", row["warnings"]).contains("resumed: "));
    assert!(resumed, "{rows:?}");

    // Whoever died before it could answer: the next one answers, and writes nothing else.
    let day = chrono::Utc::now().date_naive();
    sandbox.cql(&format!(
        "DELETE FROM {{helenus}}.answers WHERE day = '{day}' AND id = {id}"
    ));
    sandbox.cql("UPDATE {data}.biopsies SET diagnosis_truth = 'benign' WHERE id = 1");
    sandbox.json(&["worker", "--once"]).ok();
    assert_eq!(answer(sandbox, &id).0, "done");
    assert_eq!(evaluations(sandbox), stands);
}

#[test]
fn a_request_that_nobody_can_serve_holds_no_other_up() {
    let biopsies = Biopsies::scored("evaluate_held");
    let sandbox = &biopsies.sandbox;
    let truth = sandbox.filled("{data}.biopsies.diagnosis_truth");
    let id = ask(
        sandbox,
        ", options, max_rows_per_s",
        &format!(", {{'labels': '{truth}'}}, 100"),
    );
    let killed = sandbox.start(&["worker", "--once"]);
    let until = Instant::now() + Duration::from_secs(60);
    let passes = || sandbox.rows("SELECT what FROM {helenus}.passes WHERE job = 'tumour'");
    while passes().is_empty() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill();
    let what = hex::encode(passes()[0]["what"].as_blob().unwrap());
    let plan = |plan: &str| {
        sandbox.cql(&format!(
            "UPDATE {{helenus}}.passes SET plan = {plan} WHERE job = 'tumour' AND what = 0x{what}"
        ));
    };
    plan("0x00");
    let check = helenus::process::timeuuid().to_string();
    sandbox.cql(&format!("INSERT INTO {{helenus}}.run_requests (day, id, action) VALUES (toDate(now()), {check}, 'check')"));
    let said = sandbox.json(&["worker", "--once"]).ok().json();
    assert!(said["warnings"].to_string().contains(&id), "{said}");
    assert_eq!(answer(sandbox, &check).0, "done");
    sandbox.cql(&format!(
        "DELETE FROM {{helenus}}.passes WHERE job = 'tumour' AND what = 0x{what}"
    ));
    let said = sandbox.json(&["worker", "--once"]).ok().json();
    assert_eq!(said["warnings"], serde_json::json!([]));
    assert_eq!(answer(sandbox, &id).0, "done");
}
