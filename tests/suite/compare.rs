//! `helenus compare`: what it tells is what the tables hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Model, Sandbox, biopsies::Biopsies};

/// id -> (label, p_malignant), straight from the table.
fn predictions(sandbox: &Sandbox, version: i32) -> BTreeMap<i32, (String, f64)> {
    let rows = sandbox.rows(&format!(
        "SELECT id, label, p_malignant FROM {{data}}.tumour_predictions WHERE model_version = {version} ALLOW FILTERING"
    ));
    let rows = rows.iter().filter_map(|row| {
        let label = row.get("label")?.as_text()?.clone();
        let score = row.get("p_malignant")?.as_float()?;
        Some((row["id"].as_int()?, (label, f64::from(score))))
    });
    rows.collect()
}

fn compare(sandbox: &Sandbox, options: &[&str], code: i32) -> Value {
    let compared = sandbox.json(&[&["compare", "tumour"], options].concat());
    compared.code(code).json()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let up_to = sorted.partition_point(|other| other <= value);
        (below + up_to + 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let (a, b) = (ranks(a), ranks(b));
    let sum = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
}

fn close(result: &Value, exact: f64) {
    let result = result.as_f64().unwrap_or(f64::NAN);
    assert!((result - exact).abs() < 1e-12, "{result} is not {exact}");
}

#[test]
fn the_figures_are_those_of_the_rows() {
    let biopsies = Biopsies::scored("compare");
    let sandbox = &biopsies.sandbox;
    let said = compare(sandbox, &["--versions", "1,2", "--top", "7"], 0);
    assert_eq!(said["warnings"], json!([]), "{said}");
    let result = &said["result"];
    let (one, two) = (predictions(sandbox, 1), predictions(sandbox, 2));
    let n = one.len() as f64;
    assert_eq!(result["source_rows"], biopsies.rows);
    assert_eq!(result["score"], "p_malignant");
    for time in ["begun_at", "finished_at"] {
        let length = result[time].as_str().unwrap().len();
        assert_eq!(length, "2026-12-01T08:15:02.120Z".len(), "{result}");
    }
    assert_eq!(
        result["versions"]["2"],
        json!({"aliases": [], "current": biopsies.rows, "stale": 0, "rejected": 0, "missing": 0, "orphaned": 0})
    );
    let against = &result["against"][0];
    assert_eq!(against["version"], 2);
    assert_eq!(against["compared"], biopsies.rows);
    let pairs: Vec<_> = one.iter().map(|(id, a)| (*id, a, &two[id])).collect();
    let agreeing = pairs.iter().filter(|(_, a, b)| a.0 == b.0).count();
    close(&against["agreement"], agreeing as f64 / n);
    let mut changes = BTreeMap::new();
    for (_, a, b) in pairs.iter().filter(|(_, a, b)| a.0 != b.0) {
        *changes.entry((a.0.clone(), b.0.clone())).or_insert(0) += 1;
    }
    let listed = against["label_changes"].as_array().unwrap().iter();
    let listed: BTreeMap<_, _> = listed
        .map(|change| {
            let text = |name: &str| change[name].as_str().unwrap().to_owned();
            ((text("from"), text("to")), change["rows"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(listed, changes);
    let differences: Vec<f64> = pairs.iter().map(|(_, a, b)| b.1 - a.1).collect();
    let absolute: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let told_differences = &against["differences"];
    close(
        &told_differences["mean"],
        differences.iter().sum::<f64>() / n,
    );
    close(
        &told_differences["mean_absolute"],
        absolute.iter().sum::<f64>() / n,
    );
    close(
        &told_differences["largest"],
        absolute.iter().copied().fold(0.0, f64::max),
    );
    let mut sorted = differences.clone();
    sorted.sort_by(f64::total_cmp);
    for (name, q) in [
        ("p01", 0.01),
        ("p25", 0.25),
        ("p50", 0.5),
        ("p75", 0.75),
        ("p99", 0.99),
    ] {
        let result = told_differences["quantiles"][name].as_f64().unwrap();
        let at = (q * (n - 1.0)) as usize;
        let (low, high) = (sorted[at - 1], sorted[at + 1]);
        let slack = 0.011 * result.abs() + 1e-9;
        assert!(
            low - slack <= result && result <= high + slack,
            "{name}: {result} not in {low} {high}"
        );
    }
    let bars = told_differences["histogram"].as_array().unwrap();
    let total: u64 = bars.iter().map(|bar| bar["rows"].as_u64().unwrap()).sum();
    assert_eq!(total, biopsies.rows);
    for bar in &bars[1..bars.len() - 1] {
        let (from, to) = (bar["from"].as_f64().unwrap(), bar["to"].as_f64().unwrap());
        let inside = differences
            .iter()
            .filter(|d| from + 1e-9 < **d && **d < to - 1e-9)
            .count() as u64;
        assert!(bar["rows"].as_u64().unwrap() >= inside, "{bar}");
    }
    let correlation = &against["rank_correlation"];
    let scores =
        |of: &BTreeMap<i32, (String, f64)>| of.values().map(|own| own.1).collect::<Vec<_>>();
    let exact = spearman(&scores(&one), &scores(&two));
    let (value, error) = (
        correlation["value"].as_f64().unwrap(),
        correlation["error"].as_f64().unwrap(),
    );
    assert!(
        (value - exact).abs() <= error && error < 0.03,
        "{correlation} {exact}"
    );
    // The most different, as statements that a client takes.
    let mut by_distance: Vec<_> = pairs
        .iter()
        .map(|(id, a, b)| ((b.1 - a.1).abs(), *id))
        .collect();
    by_distance.sort_by(|a, b| b.0.total_cmp(&a.0));
    let most = against["most_different"].as_array().unwrap();
    assert_eq!(most.len(), 7);
    for (entity, (distance, id)) in most.iter().zip(by_distance) {
        close(&entity["difference"], distance);
        assert_eq!(entity["key"], format!("id = {id}"));
        assert_eq!(sandbox.rows(entity["cql"].as_str().unwrap()).len(), 2);
    }
    let text = sandbox
        .helenus(&["compare", "tumour", "--versions", "1,2"])
        .ok()
        .stdout;
    for said in [
        "rank correlation",
        "benign -> malignant",
        "SELECT * FROM",
        "VERSION",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let left = sandbox.rows("SELECT * FROM {helenus}.pass_parts");
    assert!(left.is_empty(), "{}", left.len());
}

#[test]
fn what_is_not_of_the_rows_as_they_are_is_counted_and_left_out() {
    let biopsies = Biopsies::scored("compare_left_out");
    let (sandbox, rows) = (&biopsies.sandbox, biopsies.rows);
    let cql = |statement: &str| sandbox.cql(statement);
    cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    biopsies.score();
    sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
    cql("DELETE FROM {data}.tumour_predictions WHERE id = 2 AND model_version = 2");
    cql("DELETE FROM {data}.biopsies WHERE id = 3");
    cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 4");
    cql(
        "UPDATE {data}.tumour_predictions SET p_malignant = NaN WHERE id = 5 AND model_version = 2",
    );
    cql("ALTER TABLE {data}.biopsies ADD site text");
    for id in (10..60).chain([4]) {
        let site = if id % 2 == 0 { "north" } else { "it''s south" };
        cql(&format!(
            "UPDATE {{data}}.biopsies SET site = '{site}' WHERE id = {id}"
        ));
    }
    let said = compare(
        sandbox,
        &["--versions", "champion,2", "--segment", "site"],
        0,
    );
    let result = &said["result"];
    assert_eq!(result["baseline"], 1);
    assert_eq!(result["versions"]["1"]["aliases"], json!(["champion"]));
    assert_eq!(result["source_rows"], rows);
    let against = &result["against"][0];
    let counts = ["compared", "stale", "missing", "rejected", "unscored"];
    let counted = |of: &Value| counts.map(|name| of[name].as_u64().unwrap());
    assert_eq!(counted(against), [rows - 3, 1, 1, 1, 1]);
    assert_eq!(result["versions"]["2"]["orphaned"], 1);
    assert!(
        said["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("unscored"),
        "{said}"
    );
    let segments = against["segments"].as_array().unwrap();
    let names: Vec<_> = segments.iter().map(|segment| &segment["segment"]).collect();
    assert_eq!(names, [&Value::Null, &json!("it's south"), &json!("north")]);
    assert_eq!(counted(&segments[1]), [25, 0, 0, 0, 0]);
    assert_eq!(counted(&segments[2]), [25, 1, 0, 0, 0]);
    let (one, two) = (predictions(sandbox, 1), predictions(sandbox, 2));
    let north: Vec<i32> = (10..60).filter(|id| id % 2 == 0).collect();
    let of =
        |all: &BTreeMap<i32, (String, f64)>| north.iter().map(|id| all[id].1).collect::<Vec<f64>>();
    let (a, b) = (of(&one), of(&two));
    let mean = a.iter().zip(&b).map(|(a, b)| b - a).sum::<f64>() / 25.0;
    close(&segments[2]["differences"]["mean"], mean);
    let correlation = &segments[2]["rank_correlation"];
    let off = (correlation["value"].as_f64().unwrap() - spearman(&a, &b)).abs();
    assert!(
        off <= correlation["error"].as_f64().unwrap() + 1e-12,
        "{correlation}"
    );
    // The same stands as a row, which says no entity's key.
    let row = sandbox.row("SELECT * FROM {helenus}.comparisons");
    let double = |name: &str| row[name].as_double().unwrap();
    close(&against["agreement"], double("agreement"));
    close(
        &against["rank_correlation"]["value"],
        double("rank_correlation"),
    );
    assert_eq!(row["compared"].as_bigint().unwrap() as u64, rows - 3);
    assert_eq!(row["score"].as_text().unwrap(), "p_malignant");
    assert_eq!(row["segments"].as_map().unwrap().len(), 3);
    assert_eq!(row["difference_histogram"].as_map().unwrap().len(), 42);
    assert!(!format!("{row:?}").contains("id = "));
    // Nothing in common.
    cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 9001");
    cql("TRUNCATE {data}.biopsies");
    cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (1, 1.5)");
    let nothing = compare(sandbox, &["--versions", "1,2"], 1);
    assert_eq!(nothing["error"]["code"], "compare.nothing_in_common");
    let against = &nothing["result"]["against"][0];
    assert_eq!(counted(against), [0, 1, 0, 0, 0]);
    for name in ["agreement", "differences", "rank_correlation"] {
        assert_eq!(against[name], Value::Null, "{name}");
    }
}

#[test]
fn what_can_not_be_compared_is_refused_with_its_reason() {
    let biopsies = Biopsies::scored("compare_refused");
    let sandbox = &biopsies.sandbox;
    let refused = |options: &[&str], code: &str| {
        let said = compare(sandbox, options, 2);
        assert_eq!(said["error"]["code"], code, "{said}");
        assert!(said["error"]["help"].is_string(), "{said}");
    };
    refused(&["--versions", "1"], "compare.versions");
    refused(&["--versions", "1,1"], "versions.twice");
    refused(&["--versions", "1,champion"], "job.unknown_alias");
    refused(
        &["--versions", "1,2", "--score", "label"],
        "compare.unknown_score",
    );
    refused(
        &["--versions", "1,2", "--segment", "sites"],
        "pass.unknown_column",
    );
    refused(
        &["--versions", "1,2", "--segment", "id"],
        "compare.segments",
    );
    for name in ["breast_cancer_xgb", "breast_cancer_lr"] {
        let push = Model::named(name).push_arguments("tumour");
        sandbox
            .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
    }
    let said = compare(sandbox, &["--versions", "1,3"], 2);
    assert_eq!(said["error"]["code"], "versions.do_not_fit", "{said}");
    let said = compare(sandbox, &["--versions", "1,4"], 2);
    assert_eq!(said["error"]["code"], "versions.never_scored", "{said}");
    let said = compare(sandbox, &["--versions", "1,5"], 2);
    assert_eq!(said["error"]["code"], "versions.do_not_fit", "{said}");
    let missing = sandbox.json(&["compare", "nothing", "--versions", "1,2"]);
    assert_eq!(missing.code(5).error()["code"], "job.unknown");
    for table in ["passes", "pass_parts", "comparisons"] {
        let left = sandbox.rows(&format!("SELECT * FROM {{helenus}}.{table}"));
        assert!(left.is_empty(), "{table}");
    }
}

#[test]
fn an_interrupted_comparison_goes_on() {
    let biopsies = Biopsies::scored("compare_interrupted");
    let sandbox = &biopsies.sandbox;
    let words = [
        "compare",
        "tumour",
        "--versions",
        "2,1",
        "--max-rate",
        "100",
    ];
    let slow = sandbox.start(&words);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while sandbox.rows("SELECT split FROM {helenus}.pass_parts").len() < 3 {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let stopped = slow.interrupt().code(130);
    assert!(stopped.stderr.contains("goes on"), "{stopped:?}");
    let said = compare(sandbox, &["--versions", "2,1"], 0);
    let warning = said["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("resumed: "), "{said}");
    assert_eq!(said["result"]["against"][0]["compared"], biopsies.rows);
    let again = compare(sandbox, &["--versions", "2,1"], 0);
    assert_eq!(again["warnings"], json!([]));
    let of = |said: &Value| {
        let mut against = said["result"]["against"][0].clone();
        for moment in ["mean", "deviation", "mean_absolute"] {
            against["differences"][moment].take();
        }
        // Bins and bars come from a sample of their own.
        against["rank_correlation"].take();
        against["differences"]["histogram"].take();
        against
    };
    assert_eq!(of(&said), of(&again));
    // Newest first.
    let rows = sandbox.rows("SELECT comparison_id FROM {helenus}.comparisons WHERE job = 'tumour'");
    let ids: Vec<_> = rows
        .iter()
        .map(|row| row["comparison_id"].as_timeuuid().unwrap().to_string())
        .collect();
    assert_eq!(
        json!(ids),
        json!([
            again["result"]["comparison_id"],
            said["result"]["comparison_id"]
        ])
    );
}

#[test]
fn a_row_asks_for_a_comparison_and_gets_one() {
    let biopsies = Biopsies::scored("compare_asked");
    let sandbox = &biopsies.sandbox;
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, action, job) VALUES (toDate(now()), now(), 'compare', 'tumour')");
    sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, action, job, versions, options) VALUES (toDate(now()), now(), 'compare', 'tumour', {1, 2}, {'colour': 'red'})");
    for _ in 0..2 {
        sandbox.json(&["worker", "--once"]).ok();
    }
    let answers = sandbox.rows("SELECT id, answer, reason FROM {helenus}.answers");
    let result = |answer: &str, about: &str| {
        let row = answers.iter().find(|row| {
            let reason = row.get("reason").and_then(|reason| reason.as_text());
            row["answer"].as_text().unwrap() == answer
                && reason.is_some_and(|reason| reason.contains(about))
        });
        let row = row.unwrap_or_else(|| panic!("{answers:?}"));
        row["id"].as_timeuuid().unwrap()
    };
    result("refused", "colour");
    let row = sandbox.row("SELECT comparison_id, baseline, version FROM {helenus}.comparisons");
    assert_eq!(
        row["comparison_id"].as_timeuuid().unwrap(),
        result("done", "comparison_id")
    );
    assert_eq!(
        (row["baseline"].as_int(), row["version"].as_int()),
        (Some(2), Some(1))
    );
}

/// Forty classes in one vector column: the largest difference of any, and no ranks.
#[test]
fn vectors_are_compared_by_their_largest_difference() {
    let sandbox = Sandbox::migrated("compare_vectors");
    let model = Model::named("forty_classes");
    let rows = model.load(&sandbox) as u64;
    let push = model.push_arguments("tumour");
    let push: Vec<_> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    sandbox.helenus(&push).ok();
    let manifest = model.manifest(&sandbox, "tumour", "tumour");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.replace("versions = [1]", "versions = [1, 2]");
    std::fs::write(&manifest, text).unwrap();
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "tumour"]).ok();
    let same = compare(&sandbox, &["--versions", "1,2"], 0);
    let against = &same["result"]["against"][0];
    assert_eq!(against["compared"], rows, "{same}");
    assert_eq!(against["agreement"], 1.0);
    assert_eq!(against["differences"]["largest"], 0.0);
    assert_eq!(against["rank_correlation"], Value::Null);
    assert_eq!(same["result"]["score"], Value::Null);
    assert_eq!(against["most_different"], json!([]));
}
