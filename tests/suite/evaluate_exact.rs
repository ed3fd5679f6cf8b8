//! Ranking metrics of real models, to the last digits that scikit-learn has.

use serde::Deserialize;
use serde_json::Value;

use crate::support::{Sandbox, model::insert_json};

/// tests/metrics/lightgbm/make.py wrote them.
fn file(name: &str) -> String {
    format!(
        "{}/tests/metrics/lightgbm/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[derive(Deserialize)]
struct Reference {
    roc_auc: f64,
    average_precision: f64,
    distinct_scores: usize,
}

/// Three versions of a model, and 4,000 labelled rows that they have scored.
fn scored(sandbox: &Sandbox) {
    sandbox.cql("CREATE TABLE {data}.rows (id int PRIMARY KEY, x0 float, x1 float, x2 float, x3 float, x4 float, y int)");
    let rows = std::fs::read_to_string(file("rows.csv")).unwrap();
    let rows: Vec<String> = rows
        .lines()
        .skip(1)
        .enumerate()
        .map(|(id, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            let [x0, x1, x2, x3, x4, y] = cells[..] else {
                panic!("{line}");
            };
            format!(
                r#"{{"id": {id}, "x0": {x0}, "x1": {x1}, "x2": {x2}, "x3": {x3}, "x4": {x4}, "y": {y}}}"#
            )
        })
        .collect();
    assert_eq!(rows.len(), 4_000);
    insert_json(&sandbox.filled("{data}.rows"), &rows);
    for version in 1..=3 {
        let (model, golden) = (format!("{version}.onnx"), format!("{version}.golden.csv"));
        let push = [
            "model",
            "push",
            "trees",
            &file(&model),
            "--features",
            &file("features.txt"),
            "--golden",
            &file(&golden),
        ];
        sandbox.helenus(&push).ok();
    }
    let manifest = sandbox.filled("job = \"trees\"\nmodel = \"trees\"\nversions = [1, 2, 3]\n[source]\ntable = \"{data}.rows\"\n[outputs]\npositive = \"1\"\n");
    let manifest = sandbox.file("trees.toml", manifest);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "trees"]).ok();
}

#[test]
fn three_lightgbm_versions_over_4000_rows_equal_scikit_learn() {
    let sandbox = Sandbox::migrated("evaluate_exact");
    scored(&sandbox);
    let reference: Vec<Reference> =
        serde_json::from_str(&std::fs::read_to_string(file("reference.json")).unwrap()).unwrap();
    // Continuous scores, ties, and almost nothing but ties.
    assert!(reference[0].distinct_scores > 3_000 && reference[2].distinct_scores < 10);
    let labels = sandbox.filled("{data}.rows.y");
    let words = [
        "evaluate",
        "trees",
        "--versions",
        "1,2,3",
        "--labels",
        &labels,
    ];
    let told = sandbox.json(&words).ok().result();
    assert_eq!(told["evaluated"], 4_000);
    for (version, reference) in told["versions"].as_array().unwrap().iter().zip(&reference) {
        assert_eq!(version["scores"], "exact");
        assert_eq!(version["details"]["scores"], "exact");
        assert_eq!(version["bounds"], Value::Object(serde_json::Map::new()));
        for (metric, exact) in [
            ("roc_auc", reference.roc_auc),
            ("average_precision", reference.average_precision),
        ] {
            let value = version["metrics"][metric].as_f64().unwrap();
            assert!(
                (value - exact).abs() < 1e-9,
                "{metric}: {value}, not {exact}"
            );
            let (low, high) = (&version["low"][metric], &version["high"][metric]);
            let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
            assert!(
                low < value && value < high && high - low < 0.1,
                "{low} {high}"
            );
        }
    }
    let text = sandbox.helenus(&words).ok().stdout;
    assert!(text.contains("scores: exact"), "{text}");
}
