//! What a run would reject: foretold by `job plan --sample`, and a reason not to begin.

use serde_json::{Value, json};

use crate::support::{
    cli::Output,
    numbers::{Numbers, ROWS},
};

fn manifest(rules: &str) -> String {
    format!(
        "job = \"numbers\"\nmodel = \"numbers\"\nversions = [1]\n[source]\ntable = \"{{data}}.numbers\"\n[features]\nx = \"x\"\n[rules]\n{rules}\n"
    )
}

/// Predictions that stand, and those that stand as rejected.
fn standing(numbers: &Numbers) -> (usize, usize) {
    let rows = numbers
        .sandbox
        .rows("SELECT lineage.rejected AS why FROM {data}.numbers_predictions");
    let is_rejected = |row: &&crate::support::cassandra::Named| {
        row.get("why").is_some_and(|why| why.as_text().is_some())
    };
    let rejected = rows.iter().filter(is_rejected).count();
    (rows.len() - rejected, rejected)
}

/// Takes `x` away from the first rows.
fn null(numbers: &Numbers, rows: usize) {
    for row in 0..rows {
        numbers.sandbox.cql(&format!(
            "UPDATE {{data}}.numbers SET x = null WHERE name = 'patient-{}' AND visit = {}",
            row / 3,
            row % 3
        ));
    }
}

fn score(numbers: &Numbers) -> Output {
    numbers.sandbox.json(&["score", "numbers"])
}

#[test]
fn a_run_that_would_reject_most_rows_stops_before_it_has_written_anything() {
    let numbers = Numbers::pushed("guard", "");
    numbers.create(&manifest("max_rejected = \"1%\"")).ok();
    score(&numbers).ok();
    assert_eq!(standing(&numbers), (ROWS, 0));

    null(&numbers, 31);
    let stopped = score(&numbers).code(1);
    let run = stopped.result();
    assert_eq!(run["state"], "failed", "{run}");
    let reason = run["reason"].as_str().unwrap();
    for said in [
        "guard: version 1 would newly reject 31 of 60",
        "feature `x` is null",
        "31 rows, for example name=patient-",
        "--sample",
        "guard = false",
    ] {
        assert!(reason.contains(said), "{reason}");
    }
    assert_eq!(
        (&run["splits_done"], &run["source_rows"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(standing(&numbers), (ROWS, 0), "what stood remains");
    // A worker is stopped by the same, and the table is free for the next run.
    numbers.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, scope) VALUES (toDate(now()), now(), 'numbers', 'all')");
    numbers.sandbox.helenus(&["worker", "--once"]);
    let runs = numbers
        .sandbox
        .json(&["run", "list", "numbers"])
        .ok()
        .result();
    assert_eq!(runs[0]["state"], "failed", "{runs}");
    assert!(
        runs[0]["reason"].as_str().unwrap().starts_with("guard: "),
        "{runs}"
    );
    assert_eq!(standing(&numbers), (ROWS, 0));

    // Asked otherwise it rejects them; it has failed then, by max_rejected.
    numbers
        .create(&manifest("max_rejected = \"1%\"\nguard = false"))
        .ok();
    let run = score(&numbers).code(1).result();
    assert!(
        run["reason"]
            .as_str()
            .unwrap()
            .starts_with("too_many_rejected"),
        "{run}"
    );
    assert_eq!(standing(&numbers), (ROWS - 31, 31));

    // What stands as rejected blocks nothing: 10 more rows of the 29 others are less than half.
    numbers.create(&manifest("max_rejected = 60")).ok();
    null(&numbers, 41);
    score(&numbers).ok();
    assert_eq!(standing(&numbers), (ROWS - 41, 41));
    score(&numbers).ok();
}

#[test]
fn the_first_run_of_a_bad_mapping_is_stopped_unless_the_manifest_calls_it_normal() {
    let numbers = Numbers::pushed("guard_first", "");
    null(&numbers, ROWS);
    numbers.create(&manifest("max_rejected = \"99%\"")).ok();
    let run = score(&numbers).code(1).result();
    assert!(
        run["reason"].as_str().unwrap().starts_with("guard: "),
        "{run}"
    );
    assert_eq!(standing(&numbers), (0, 0));
    numbers.create(&manifest("max_rejected = \"100%\"")).ok();
    score(&numbers).ok();
    assert_eq!(standing(&numbers), (0, ROWS));
}

#[test]
fn guard_true_stops_at_max_rejected() {
    let numbers = Numbers::pushed("guard_strict", "");
    numbers
        .create(&manifest("max_rejected = \"10%\"\nguard = true"))
        .ok();
    null(&numbers, 6);
    score(&numbers).ok();
    assert_eq!(standing(&numbers), (ROWS - 6, 6));
    // 7 of the 60 are anew.
    null(&numbers, 13);
    let run = score(&numbers).code(1).result();
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.contains("more than max_rejected (10 %)"), "{reason}");
    assert_eq!(standing(&numbers), (ROWS - 6, 6));
}

#[test]
fn a_plan_foretells_what_would_be_rejected_with_reasons_and_keys() {
    let numbers = Numbers::pushed("plan_sample", "");
    let sandbox = &numbers.sandbox;
    let file = sandbox.file(
        "numbers.toml",
        sandbox.filled(&manifest("max_rejected = 0")),
    );
    let plan = |options: &[&str]| {
        let words = ["job", "plan", file.to_str().unwrap()];
        sandbox.json(&[&words, options].concat())
    };
    // The prediction table does not exist yet.
    assert_eq!(plan(&[]).ok().result()["sample"], Value::Null);
    let sample = plan(&["--sample", "1000"]).ok().result()["sample"].clone();
    assert_eq!(
        sample,
        json!({"rows": ROWS, "whole_source": true, "versions": {"1": {"rejected": 0, "reasons": []}}})
    );
    null(&numbers, 5);
    let planned = plan(&["--sample", "1000"]).ok().json();
    let version = &planned["result"]["sample"]["versions"]["1"];
    assert_eq!(version["rejected"], 5);
    let reason = &version["reasons"][0];
    assert_eq!(
        (&reason["code"], &reason["about"]),
        (&json!("null"), &json!("x"))
    );
    assert_eq!(
        (&reason["rows"], reason["keys"].as_array().unwrap().len()),
        (&json!(5), 3)
    );
    assert!(
        reason["keys"][0]["name"]
            .as_str()
            .unwrap()
            .starts_with("patient-")
    );
    let warnings = planned["warnings"].to_string();
    assert!(
        warnings.contains("sample_rejected: version 1 would reject 5 of 60"),
        "{warnings}"
    );
    // Fewer than there are.
    let some = plan(&["--sample", "20"]).ok().result()["sample"].clone();
    assert_eq!(
        (&some["rows"], &some["whole_source"]),
        (&json!(20), &json!(false))
    );

    null(&numbers, ROWS);
    let refused = plan(&["--sample", "1000"]).code(1);
    assert_eq!(refused.error()["code"], "plan.all_rejected");
    assert_eq!(
        refused.result()["sample"]["versions"]["1"]["rejected"],
        ROWS
    );
    let words = ["job", "plan", file.to_str().unwrap(), "--sample", "1000"];
    let told = sandbox.helenus(&words).code(1);
    assert!(
        told.stdout.contains("null: feature `x` is null"),
        "{told:?}"
    );
    assert!(told.stderr.contains("would reject every row"), "{told:?}");
    // The same reasons as a run has, with casts.
    sandbox.cql("CREATE TABLE {data}.counted (id int PRIMARY KEY, x bigint)");
    for (id, x) in [(-5, 7_i64), (1, 16_777_217), (2, 16_777_219)] {
        sandbox.cql(&format!(
            "INSERT INTO {{data}}.counted (id, x) VALUES ({id}, {x})"
        ));
    }
    let counted = manifest("max_rejected = 0\nguard = false")
        .replace("numbers\"\nmodel", "counted\"\nmodel")
        .replace("{data}.numbers", "{data}.counted");
    let file = sandbox.file("counted.toml", sandbox.filled(&counted));
    let file = file.to_str().unwrap();
    let planned = sandbox
        .json(&["job", "plan", file, "--sample", "1000"])
        .ok()
        .result();
    let foretold = planned["sample"]["versions"]["1"]["reasons"].clone();
    assert_eq!(
        (&foretold[0]["code"], &foretold[0]["rows"]),
        (&json!("inexact"), &json!(2))
    );
    sandbox.helenus(&["job", "create", file]).ok();
    sandbox.json(&["score", "counted"]).code(1);
    let rejected = sandbox.json(&["run", "rejected", "counted"]).ok().result();
    let reasons: Vec<_> = rejected
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["reason"])
        .collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.contains(&&foretold[0]["reason"]), "{rejected}");

    // Keys below zero are keys, not options.
    let explained = sandbox.json(&["explain", "counted", "-5"]).ok().result();
    assert_eq!(explained["key"]["id"], -5);
    sandbox
        .helenus(&["explain", "counted", "--at", "2026-03-01T14:03:00Z", "-5"])
        .code(5);
    sandbox
        .helenus(&["forget", "counted", "-5", "--dry-run"])
        .ok();
}
