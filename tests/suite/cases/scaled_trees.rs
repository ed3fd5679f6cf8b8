//! A scaler before trees: the float export is wrong for rows at a split, the double one is not.

use crate::support::cases::Case;

#[test]
fn the_double_export_scores_every_row_right_and_is_not_warned_of() {
    let case = Case::load("16_scaler_before_trees", "homes");
    let (model, job) = (case.name("homes_double"), case.name("homes_double"));
    let (file, features) = (case.path("double.onnx"), case.path("features.txt"));
    let golden = case.path("golden20_double.csv");
    let pushed = case.sandbox.json(&[
        "model",
        "push",
        &model,
        &file,
        "--features",
        &features,
        "--golden",
        &golden,
    ]);
    let warnings = pushed.ok().json()["warnings"].to_string();
    assert!(!warnings.contains("float_before_trees"), "{warnings}");
    case.create_and_score(&case.manifest("manifest_double.toml"), &job);
    case.assert_predictions("homes_double", 1, "expected_double.csv", &["id"]);
}

#[test]
fn the_float_export_is_warned_of_though_its_golden_rows_pass() {
    let case = Case::load("16_scaler_before_trees", "homes");
    let (file, features) = (case.path("float.onnx"), case.path("features.txt"));
    let golden = case.path("golden_float.csv");
    let checked = case.sandbox.json(&[
        "model",
        "check",
        &file,
        "--features",
        &features,
        "--golden",
        &golden,
    ]);
    let warnings = checked.ok().json()["warnings"].to_string();
    assert!(warnings.contains("float_before_trees"), "{warnings}");
    assert!(warnings.contains("not training data"), "{warnings}");
}
