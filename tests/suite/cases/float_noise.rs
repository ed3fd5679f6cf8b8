//! Ordinary regressions on raw columns, exported in float: nothing in them reads other rows.

use serde_json::Value;

use crate::support::cases::Case;

const FOLDER: &str = "23_float_noise_refused";

fn warnings(answer: &crate::support::cli::Output) -> String {
    answer.json()["warnings"].to_string()
}

#[test]
fn raw_columns_are_accepted_with_a_warning_and_verified_without_false_alarms() {
    let case = Case::load(FOLDER, "cars");
    let (model, job) = (case.name("cars_float"), case.name("cars_float"));
    let (file, features) = (case.path("linear_float.onnx"), case.path("features.txt"));
    let golden = case.path("linear.csv");
    let checked = case.sandbox.json(&[
        "model",
        "check",
        &file,
        "--features",
        &features,
        "--golden",
        &golden,
    ]);
    assert!(warnings(&checked.ok()).contains("float_rounding"));
    case.sandbox
        .helenus(&[
            "model",
            "push",
            &model,
            &file,
            "--features",
            &features,
            "--golden",
            &golden,
        ])
        .ok();
    scored_and_verified(&case, &job);
}

/// Golden rows are what shows the rounding of raw columns to admission; without them `verify` finds
/// out by itself.
#[test]
fn verify_and_explain_see_rounding_that_admission_could_not_see() {
    let case = Case::load(FOLDER, "cars");
    let (model, job) = (case.name("cars_float"), case.name("cars_float"));
    let (file, features) = (case.path("linear_float.onnx"), case.path("features.txt"));
    case.sandbox
        .helenus(&["model", "push", &model, &file, "--features", &features])
        .ok();
    scored_and_verified(&case, &job);
    for id in (0..140).step_by(12) {
        let explained = case
            .sandbox
            .json(&["explain", &job, &id.to_string()])
            .result();
        assert_eq!(
            explained["versions"]["1"]["verdict"], "matching",
            "{id}: {explained:#}"
        );
    }
    // What somebody altered is still found, and a tolerance may allow it.
    let target = format!("\"{{data}}\".\"{job}_predictions\"");
    let altered = |by: f32| {
        let select = format!("SELECT variable FROM {target} WHERE id = 7 AND model_version = 1");
        let row = case.sandbox.row(&select);
        let value = row["variable"].as_float().expect("a float");
        case.sandbox.cql(&format!(
            "UPDATE {target} SET variable = {} WHERE id = 7 AND model_version = 1",
            value + by
        ));
    };
    altered(20.0);
    case.sandbox.helenus(&["verify", &job]).code(1);
    case.sandbox.helenus(&["verify", &job, "--atol", "25"]).ok();
    case.sandbox
        .helenus(&["verify", &job, "--atol", "-1"])
        .code(2);
}

#[test]
fn a_support_vector_regression_is_accepted() {
    let case = Case::load(FOLDER, "cars");
    let (file, features) = (case.path("svr.onnx"), case.path("features.txt"));
    let golden = case.path("svr.csv");
    let options = [
        "--features",
        &features,
        "--golden",
        &golden,
        "--rtol",
        "1e-2",
        "--atol",
        "10",
    ];
    let check = [&["model", "check", &file][..], &options].concat();
    case.sandbox.helenus(&check).ok();
}

fn scored_and_verified(case: &Case, job: &str) {
    let manifest = case.manifest("manifest_float.toml").display().to_string();
    case.sandbox.helenus(&["job", "create", &manifest]).ok();
    case.sandbox.helenus(&["score", job]).ok();
    // Some rows are scored again in batches of other sizes.
    for id in (0..140).step_by(9) {
        case.sandbox.cql(&format!(
            "UPDATE \"{{data}}\".\"cars\" SET power = 151 WHERE id = {id}"
        ));
        if id % 3 == 0 {
            case.sandbox.helenus(&["score", job]).ok();
        }
    }
    case.sandbox.helenus(&["score", job]).ok();
    let verified: Value = case
        .sandbox
        .json(&["verify", job, "--coverage"])
        .ok()
        .result();
    assert_eq!(verified["versions"]["1"]["matching"], 140, "{verified:#}");
}
