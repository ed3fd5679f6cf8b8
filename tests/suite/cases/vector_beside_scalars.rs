//! A vector beside single values in one wide input, its order known by names; and the odd types of
//! Cassandra around it.

use std::collections::BTreeMap;

use crate::support::{
    cases::{Case, TOLERANCE, push},
    model::is_close,
};
use helenus::domain::csv;
use scylla::value::CqlValue;

const FOLDER: &str = "14_cassandra_shapes";
const FEATURES: &str = "limit\ntoken\nv[3]\navg\nage_days\n";

#[test]
fn a_name_that_carries_a_width_proves_the_order_around_a_vector() {
    let case = Case::load(FOLDER, "readings");
    let model = case.name("forecast");
    let file = case.path("model.onnx");
    let features = case
        .sandbox
        .file("features.txt", FEATURES)
        .display()
        .to_string();
    let golden = case.text("golden.csv");
    let golden = golden.replace("in.v0,in.v1,in.v2", "in.v[0],in.v[1],in.v[2]");
    let golden = case
        .sandbox
        .file("golden.csv", golden)
        .display()
        .to_string();
    let push = push(&model, &file, &features, &golden);
    let pushed = case.sandbox.json(&push).ok().json();
    assert!(
        !pushed["warnings"].to_string().contains("order_unproven"),
        "{pushed}"
    );
    let manifest = case.manifest("manifest.toml").display().to_string();
    let created = case.sandbox.json(&["job", "create", &manifest]).ok().json();
    assert!(
        !created["warnings"].to_string().contains("order_unproven"),
        "{created}"
    );
    case.sandbox.helenus(&["score", &model]).ok();

    let text = case.text("expected_all.csv");
    let expected: BTreeMap<(String, i64), String> = csv::Reader::new(&text)
        .unwrap()
        .map(|record| {
            let fields = record.unwrap().fields;
            let field = |at: usize| fields[at].value.clone().unwrap();
            let at = chrono::DateTime::parse_from_rfc3339(&field(1)).unwrap();
            ((field(0), at.timestamp_millis()), field(2))
        })
        .collect();
    let rows = case.sandbox.rows(&format!(
        "SELECT device, at, variable FROM \"{{data}}\".\"{model}_predictions\""
    ));
    assert_eq!(rows.len(), 150);
    for row in rows {
        let (CqlValue::Text(device), CqlValue::Timestamp(at)) = (&row["device"], &row["at"]) else {
            panic!("{row:?}");
        };
        let wanted = &expected[&(device.clone(), at.0)];
        assert!(
            is_close(row.get("variable"), Some(wanted), TOLERANCE),
            "{row:?}, should be {wanted}"
        );
    }
}

#[test]
fn names_without_the_width_are_answered_with_it() {
    let case = Case::load(FOLDER, "readings");
    let model = case.name("forecast_spelled");
    let file = case.path("model.onnx");
    let features = case.path("features.txt");
    case.sandbox
        .helenus(&["model", "push", &model, &file, "--features", &features])
        .ok();
    let text = case
        .text("manifest.toml")
        .replace("\"forecast\"", "\"forecast_spelled\"");
    let manifest = case
        .manifest_text("spelled.toml", &text)
        .display()
        .to_string();
    let error = case
        .sandbox
        .json(&["job", "create", &manifest])
        .code(2)
        .error();
    assert!(error.to_string().contains("`v[3]`"), "{error}");
    let few = case
        .sandbox
        .file("few.txt", "limit\ntoken\nv\navg\nage_days\n");
    let check = [
        "model",
        "check",
        &file,
        "--features",
        &few.display().to_string(),
    ];
    let error = case.sandbox.json(&check).code(1).error();
    assert_eq!(error["code"], "model.feature_count");
    assert!(error.to_string().contains("embedding[3]"), "{error}");
}
